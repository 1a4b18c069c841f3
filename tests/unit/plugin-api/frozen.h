/* SPDX-License-Identifier: MIT */
/*
 * The frozen plugin ABI, written by tests/abi/freeze. No line here is ever
 * changed or removed but the size of a struct that has grown at its tail.
 */
#ifndef FROZEN_H
#define FROZEN_H

/* clang-format off */
#define FROZEN_LAYOUT \
	SIZE(gamut_option, 64), \
	AT(gamut_option, size, 0), \
	AT(gamut_option, type, 4), \
	AT(gamut_option, name, 8), \
	AT(gamut_option, help, 16), \
	AT(gamut_option, default_value, 24), \
	AT(gamut_option, min, 32), \
	AT(gamut_option, max, 40), \
	AT(gamut_option, choices, 48), \
	AT(gamut_option, required, 56), \
	SIZE(gamut_ops, 88), \
	AT(gamut_ops, size, 0), \
	AT(gamut_ops, create, 8), \
	AT(gamut_ops, start, 16), \
	AT(gamut_ops, pause, 24), \
	AT(gamut_ops, resume, 32), \
	AT(gamut_ops, reset, 40), \
	AT(gamut_ops, save, 48), \
	AT(gamut_ops, restore, 56), \
	AT(gamut_ops, stop, 64), \
	AT(gamut_ops, destroy, 72), \
	AT(gamut_ops, interface, 80), \
	SIZE(gamut_descriptor, 72), \
	AT(gamut_descriptor, size, 0), \
	AT(gamut_descriptor, axis, 4), \
	AT(gamut_descriptor, colour, 8), \
	AT(gamut_descriptor, score, 12), \
	AT(gamut_descriptor, choice, 16), \
	AT(gamut_descriptor, description, 24), \
	AT(gamut_descriptor, needs, 32), \
	AT(gamut_descriptor, gives, 40), \
	AT(gamut_descriptor, options, 48), \
	AT(gamut_descriptor, n_options, 56), \
	AT(gamut_descriptor, reserved, 60), \
	AT(gamut_descriptor, ops, 64), \
	SIZE(gamut_plugin, 56), \
	AT(gamut_plugin, magic, 0), \
	AT(gamut_plugin, abi_major, 4), \
	AT(gamut_plugin, abi_minor, 6), \
	AT(gamut_plugin, size, 8), \
	AT(gamut_plugin, signature, 12), \
	AT(gamut_plugin, name, 16), \
	AT(gamut_plugin, version, 24), \
	AT(gamut_plugin, licence, 32), \
	AT(gamut_plugin, n_descriptors, 40), \
	AT(gamut_plugin, reserved, 44), \
	AT(gamut_plugin, descriptors, 48), \
	SIZE(gamut_mem_range, 16), \
	AT(gamut_mem_range, gpa, 0), \
	AT(gamut_mem_range, size, 8), \
	SIZE(gamut_io_ops, 40), \
	AT(gamut_io_ops, size, 0), \
	AT(gamut_io_ops, read, 8), \
	AT(gamut_io_ops, write, 16), \
	AT(gamut_io_ops, read_many, 24), \
	AT(gamut_io_ops, write_many, 32), \
	SIZE(gamut_irqchip_pin, 16), \
	AT(gamut_irqchip_pin, address, 0), \
	AT(gamut_irqchip_pin, data, 8), \
	AT(gamut_irqchip_pin, set, 12), \
	SIZE(gamut_msr_ops, 24), \
	AT(gamut_msr_ops, size, 0), \
	AT(gamut_msr_ops, read, 8), \
	AT(gamut_msr_ops, write, 16), \
	SIZE(gamut_hypercall, 72), \
	AT(gamut_hypercall, vcpu, 0), \
	AT(gamut_hypercall, nr, 4), \
	AT(gamut_hypercall, cpl, 8), \
	AT(gamut_hypercall, long_mode, 12), \
	AT(gamut_hypercall, args, 16), \
	AT(gamut_hypercall, restart, 64), \
	AT(gamut_hypercall, reserved, 68), \
	SIZE(gamut_segment, 24), \
	AT(gamut_segment, base, 0), \
	AT(gamut_segment, limit, 8), \
	AT(gamut_segment, selector, 12), \
	AT(gamut_segment, reserved, 14), \
	AT(gamut_segment, attr, 16), \
	AT(gamut_segment, reserved2, 20), \
	SIZE(gamut_table, 16), \
	AT(gamut_table, base, 0), \
	AT(gamut_table, limit, 8), \
	AT(gamut_table, reserved, 12), \
	SIZE(gamut_vcpu_state, 488), \
	AT(gamut_vcpu_state, size, 0), \
	AT(gamut_vcpu_state, reserved, 4), \
	AT(gamut_vcpu_state, gpr, 8), \
	AT(gamut_vcpu_state, rip, 136), \
	AT(gamut_vcpu_state, rflags, 144), \
	AT(gamut_vcpu_state, seg, 152), \
	AT(gamut_vcpu_state, gdt, 344), \
	AT(gamut_vcpu_state, idt, 360), \
	AT(gamut_vcpu_state, cr0, 376), \
	AT(gamut_vcpu_state, cr2, 384), \
	AT(gamut_vcpu_state, cr3, 392), \
	AT(gamut_vcpu_state, cr4, 400), \
	AT(gamut_vcpu_state, cr8, 408), \
	AT(gamut_vcpu_state, efer, 416), \
	AT(gamut_vcpu_state, dr, 424), \
	SIZE(gamut_irq_source, 24), \
	AT(gamut_irq_source, size, 0), \
	AT(gamut_irq_source, accept, 8), \
	AT(gamut_irq_source, pending, 16), \
	SIZE(gamut_segment_load, 40), \
	AT(gamut_segment_load, paddr, 0), \
	AT(gamut_segment_load, vaddr, 8), \
	AT(gamut_segment_load, filesz, 16), \
	AT(gamut_segment_load, memsz, 24), \
	AT(gamut_segment_load, data, 32), \
	SIZE(gamut_elf_note, 24), \
	AT(gamut_elf_note, name, 0), \
	AT(gamut_elf_note, type, 8), \
	AT(gamut_elf_note, desc_size, 12), \
	AT(gamut_elf_note, desc, 16), \
	SIZE(gamut_boot, 96), \
	AT(gamut_boot, size, 0), \
	AT(gamut_boot, n_segments, 4), \
	AT(gamut_boot, n_notes, 8), \
	AT(gamut_boot, elf_class, 12), \
	AT(gamut_boot, elf_entry, 16), \
	AT(gamut_boot, kernel_path, 24), \
	AT(gamut_boot, segments, 32), \
	AT(gamut_boot, notes, 40), \
	AT(gamut_boot, ramdisk, 48), \
	AT(gamut_boot, ramdisk_size, 56), \
	AT(gamut_boot, cmdline, 64), \
	AT(gamut_boot, image, 72), \
	AT(gamut_boot, image_size, 80), \
	AT(gamut_boot, not_elf, 88), \
	SIZE(gamut_host, 640), \
	AT(gamut_host, size, 0), \
	AT(gamut_host, abi_major, 4), \
	AT(gamut_host, abi_minor, 6), \
	AT(gamut_host, log, 8), \
	AT(gamut_host, fail, 16), \
	AT(gamut_host, option_int, 24), \
	AT(gamut_host, option_bool, 32), \
	AT(gamut_host, option_string, 40), \
	AT(gamut_host, unit, 48), \
	AT(gamut_host, domain_name, 56), \
	AT(gamut_host, domain_uuid, 64), \
	AT(gamut_host, domain_id, 72), \
	AT(gamut_host, vcpu_count, 80), \
	AT(gamut_host, mem_read, 88), \
	AT(gamut_host, mem_write, 96), \
	AT(gamut_host, mem_get, 104), \
	AT(gamut_host, mem_put, 112), \
	AT(gamut_host, mem_dirty, 120), \
	AT(gamut_host, mem_ranges, 128), \
	AT(gamut_host, page_alloc, 136), \
	AT(gamut_host, page_free, 144), \
	AT(gamut_host, page_map, 152), \
	AT(gamut_host, page_unmap, 160), \
	AT(gamut_host, mem_release, 168), \
	AT(gamut_host, mem_populate, 176), \
	AT(gamut_host, guest_read, 184), \
	AT(gamut_host, guest_write, 192), \
	AT(gamut_host, pio_register, 200), \
	AT(gamut_host, mmio_register, 208), \
	AT(gamut_host, msr_register, 216), \
	AT(gamut_host, hypercall_register, 224), \
	AT(gamut_host, cpuid_set, 232), \
	AT(gamut_host, cpuid_mask, 240), \
	AT(gamut_host, vcpu_get, 248), \
	AT(gamut_host, vcpu_set, 256), \
	AT(gamut_host, vcpu_up, 264), \
	AT(gamut_host, vcpu_down, 272), \
	AT(gamut_host, vcpu_is_up, 280), \
	AT(gamut_host, vcpu_block, 288), \
	AT(gamut_host, vcpu_wake, 296), \
	AT(gamut_host, vcpu_times, 304), \
	AT(gamut_host, irq_source, 312), \
	AT(gamut_host, irq_raise, 320), \
	AT(gamut_host, nmi_raise, 328), \
	AT(gamut_host, time_now, 336), \
	AT(gamut_host, time_scale, 344), \
	AT(gamut_host, timer_create, 352), \
	AT(gamut_host, timer_set, 360), \
	AT(gamut_host, timer_cancel, 368), \
	AT(gamut_host, timer_destroy, 376), \
	AT(gamut_host, fd_watch, 384), \
	AT(gamut_host, fd_modify, 392), \
	AT(gamut_host, fd_unwatch, 400), \
	AT(gamut_host, defer_create, 408), \
	AT(gamut_host, defer_run, 416), \
	AT(gamut_host, defer_destroy, 424), \
	AT(gamut_host, counter, 432), \
	AT(gamut_host, console_write, 440), \
	AT(gamut_host, console_on_input, 448), \
	AT(gamut_host, console_read, 456), \
	AT(gamut_host, boot, 464), \
	AT(gamut_host, domain_end, 472), \
	AT(gamut_host, lookup, 480), \
	AT(gamut_host, on_dead_halt, 488), \
	AT(gamut_host, vcpu_current, 496), \
	AT(gamut_host, pv_attach, 504), \
	AT(gamut_host, hypercall_call, 512), \
	AT(gamut_host, hypercall_insn, 520), \
	AT(gamut_host, bus_fallback, 528), \
	AT(gamut_host, page_map_as, 536), \
	AT(gamut_host, irqchip_create, 544), \
	AT(gamut_host, irqchip_line, 552), \
	AT(gamut_host, irqchip_msi, 560), \
	AT(gamut_host, irqchip_route, 568), \
	AT(gamut_host, cr8_register, 576), \
	AT(gamut_host, option_list, 584), \
	AT(gamut_host, on_shutdown, 592), \
	AT(gamut_host, needed, 600), \
	AT(gamut_host, sign, 608), \
	AT(gamut_host, hypercall_fallback, 616), \
	AT(gamut_host, vcpu_unhalt, 624), \
	AT(gamut_host, unit_of_choice, 632), \
	SIZE(gamut_evtchn_ops, 40), \
	AT(gamut_evtchn_ops, size, 0), \
	AT(gamut_evtchn_ops, alloc, 8), \
	AT(gamut_evtchn_ops, bind, 16), \
	AT(gamut_evtchn_ops, unbind, 24), \
	AT(gamut_evtchn_ops, notify, 32), \
	SIZE(gamut_xen_intr_ops, 80), \
	AT(gamut_xen_intr_ops, size, 0), \
	AT(gamut_xen_intr_ops, hypercall, 8), \
	AT(gamut_xen_intr_ops, shared_info_place, 16), \
	AT(gamut_xen_intr_ops, shared_info_where, 24), \
	AT(gamut_xen_intr_ops, latch_mode, 32), \
	AT(gamut_xen_intr_ops, callback_set, 40), \
	AT(gamut_xen_intr_ops, upcall_vector_set, 48), \
	AT(gamut_xen_intr_ops, upcall_by_monitor, 56), \
	AT(gamut_xen_intr_ops, vcpu_info, 64), \
	AT(gamut_xen_intr_ops, can, 72), \
	SIZE(gamut_pv_boot, 40), \
	AT(gamut_pv_boot, size, 0), \
	AT(gamut_pv_boot, reserved, 4), \
	AT(gamut_pv_boot, root, 8), \
	AT(gamut_pv_boot, entry, 16), \
	AT(gamut_pv_boot, stack, 24), \
	AT(gamut_pv_boot, start_info, 32), \
	SIZE(gamut_pv_monitor_ops, 48), \
	AT(gamut_pv_monitor_ops, size, 0), \
	AT(gamut_pv_monitor_ops, boot, 8), \
	AT(gamut_pv_monitor_ops, machphys, 16), \
	AT(gamut_pv_monitor_ops, page_free, 24), \
	AT(gamut_pv_monitor_ops, page_gone, 32), \
	AT(gamut_pv_monitor_ops, page_here, 40), \
	SIZE(gamut_grant_ops, 24), \
	AT(gamut_grant_ops, size, 0), \
	AT(gamut_grant_ops, map, 8), \
	AT(gamut_grant_ops, unmap, 16), \
	SIZE(gamut_xenbus_ops, 88), \
	AT(gamut_xenbus_ops, size, 0), \
	AT(gamut_xenbus_ops, read, 8), \
	AT(gamut_xenbus_ops, write, 16), \
	AT(gamut_xenbus_ops, rm, 24), \
	AT(gamut_xenbus_ops, watch, 32), \
	AT(gamut_xenbus_ops, unwatch, 40), \
	AT(gamut_xenbus_ops, device_add, 48), \
	AT(gamut_xenbus_ops, device_remove, 56), \
	AT(gamut_xenbus_ops, hvm_param_set, 64), \
	AT(gamut_xenbus_ops, hvm_param_get, 72), \
	AT(gamut_xenbus_ops, special_gfn, 80), \
	SIZE(gamut_xen_unplug_ops, 16), \
	AT(gamut_xen_unplug_ops, size, 0), \
	AT(gamut_xen_unplug_ops, add, 8), \
	SIZE(gamut_pv_cpu, 72), \
	AT(gamut_pv_cpu, size, 0), \
	AT(gamut_pv_cpu, vcpu, 4), \
	AT(gamut_pv_cpu, ops, 8), \
	AT(gamut_pv_cpu, gpr, 16), \
	AT(gamut_pv_cpu, rip, 24), \
	AT(gamut_pv_cpu, rflags, 32), \
	AT(gamut_pv_cpu, event, 40), \
	AT(gamut_pv_cpu, vector, 44), \
	AT(gamut_pv_cpu, has_error, 45), \
	AT(gamut_pv_cpu, nmi, 46), \
	AT(gamut_pv_cpu, reserved, 47), \
	AT(gamut_pv_cpu, error, 48), \
	AT(gamut_pv_cpu, reserved2, 52), \
	AT(gamut_pv_cpu, cr2, 56), \
	AT(gamut_pv_cpu, dr6, 64), \
	SIZE(gamut_pv_cpu_ops, 240), \
	AT(gamut_pv_cpu_ops, size, 0), \
	AT(gamut_pv_cpu_ops, read, 8), \
	AT(gamut_pv_cpu_ops, write, 16), \
	AT(gamut_pv_cpu_ops, roots, 24), \
	AT(gamut_pv_cpu_ops, enter, 32), \
	AT(gamut_pv_cpu_ops, flush, 40), \
	AT(gamut_pv_cpu_ops, flush_page, 48), \
	AT(gamut_pv_cpu_ops, pte_write, 56), \
	AT(gamut_pv_cpu_ops, pte_exchange, 64), \
	AT(gamut_pv_cpu_ops, load_segment, 72), \
	AT(gamut_pv_cpu_ops, selector, 80), \
	AT(gamut_pv_cpu_ops, base, 88), \
	AT(gamut_pv_cpu_ops, set_base, 96), \
	AT(gamut_pv_cpu_ops, set_gdt, 104), \
	AT(gamut_pv_cpu_ops, set_ldt, 112), \
	AT(gamut_pv_cpu_ops, code64, 120), \
	AT(gamut_pv_cpu_ops, set_ts, 128), \
	AT(gamut_pv_cpu_ops, cr4, 136), \
	AT(gamut_pv_cpu_ops, set_cr4, 144), \
	AT(gamut_pv_cpu_ops, xcr0, 152), \
	AT(gamut_pv_cpu_ops, set_xcr0, 160), \
	AT(gamut_pv_cpu_ops, dr, 168), \
	AT(gamut_pv_cpu_ops, set_dr, 176), \
	AT(gamut_pv_cpu_ops, cpuid, 184), \
	AT(gamut_pv_cpu_ops, tsc, 192), \
	AT(gamut_pv_cpu_ops, hole, 200), \
	AT(gamut_pv_cpu_ops, emulate_write, 208), \
	AT(gamut_pv_cpu_ops, flush_others, 216), \
	AT(gamut_pv_cpu_ops, msr_read, 224), \
	AT(gamut_pv_cpu_ops, msr_write, 232), \
	SIZE(gamut_pv_guest, 32), \
	AT(gamut_pv_guest, size, 0), \
	AT(gamut_pv_guest, reserved, 4), \
	AT(gamut_pv_guest, fast, 8), \
	AT(gamut_pv_guest, slow, 16), \
	AT(gamut_pv_guest, pending, 24), \
	SIZE(gamut_irq_lines_ops, 80), \
	AT(gamut_irq_lines_ops, size, 0), \
	AT(gamut_irq_lines_ops, set, 8), \
	AT(gamut_irq_lines_ops, message, 16), \
	AT(gamut_irq_lines_ops, speaker_output, 24), \
	AT(gamut_irq_lines_ops, speaker_gate, 32), \
	AT(gamut_irq_lines_ops, refresh, 40), \
	AT(gamut_irq_lines_ops, apic_id, 48), \
	AT(gamut_irq_lines_ops, nmi, 56), \
	AT(gamut_irq_lines_ops, mmio, 64), \
	AT(gamut_irq_lines_ops, init, 72), \
	SIZE(gamut_pci_bar, 24), \
	AT(gamut_pci_bar, kind, 0), \
	AT(gamut_pci_bar, prefetchable, 4), \
	AT(gamut_pci_bar, size, 8), \
	AT(gamut_pci_bar, ops, 16), \
	SIZE(gamut_pci_desc, 248), \
	AT(gamut_pci_desc, size, 0), \
	AT(gamut_pci_desc, devfn, 4), \
	AT(gamut_pci_desc, multi_function, 6), \
	AT(gamut_pci_desc, vendor, 8), \
	AT(gamut_pci_desc, device, 10), \
	AT(gamut_pci_desc, subsystem_vendor, 12), \
	AT(gamut_pci_desc, subsystem, 14), \
	AT(gamut_pci_desc, class_revision, 16), \
	AT(gamut_pci_desc, pin, 20), \
	AT(gamut_pci_desc, bar, 24), \
	AT(gamut_pci_desc, msix_vectors, 168), \
	AT(gamut_pci_desc, msix_bar, 172), \
	AT(gamut_pci_desc, msi_vectors, 176), \
	AT(gamut_pci_desc, rom, 184), \
	AT(gamut_pci_desc, rom_size, 192), \
	AT(gamut_pci_desc, config_at, 196), \
	AT(gamut_pci_desc, n_config, 200), \
	AT(gamut_pci_desc, config_value, 208), \
	AT(gamut_pci_desc, config_mask, 216), \
	AT(gamut_pci_desc, config_written, 224), \
	AT(gamut_pci_desc, config_read, 232), \
	AT(gamut_pci_desc, capability, 240), \
	SIZE(gamut_pci_bus_ops, 104), \
	AT(gamut_pci_bus_ops, size, 0), \
	AT(gamut_pci_bus_ops, add, 8), \
	AT(gamut_pci_bus_ops, remove, 16), \
	AT(gamut_pci_bus_ops, irq, 24), \
	AT(gamut_pci_bus_ops, message, 32), \
	AT(gamut_pci_bus_ops, dma_read, 40), \
	AT(gamut_pci_bus_ops, dma_write, 48), \
	AT(gamut_pci_bus_ops, bus_master, 56), \
	AT(gamut_pci_bus_ops, config_get, 64), \
	AT(gamut_pci_bus_ops, config_set, 72), \
	AT(gamut_pci_bus_ops, devfn, 80), \
	AT(gamut_pci_bus_ops, board_irq, 88), \
	AT(gamut_pci_bus_ops, present, 96), \
	SIZE(gamut_serial_peer, 24), \
	AT(gamut_serial_peer, size, 0), \
	AT(gamut_serial_peer, receive, 8), \
	AT(gamut_serial_peer, room, 16), \
	SIZE(gamut_serial_ops, 32), \
	AT(gamut_serial_ops, size, 0), \
	AT(gamut_serial_ops, count, 4), \
	AT(gamut_serial_ops, attach, 8), \
	AT(gamut_serial_ops, send, 16), \
	AT(gamut_serial_ops, kick, 24), \
	SIZE(gamut_text_cell, 2), \
	AT(gamut_text_cell, code, 0), \
	AT(gamut_text_cell, attribute, 1), \
	SIZE(gamut_text_screen, 84), \
	AT(gamut_text_screen, size, 0), \
	AT(gamut_text_screen, graphics, 4), \
	AT(gamut_text_screen, blank, 8), \
	AT(gamut_text_screen, columns, 12), \
	AT(gamut_text_screen, rows, 16), \
	AT(gamut_text_screen, cursor_on, 20), \
	AT(gamut_text_screen, cursor_column, 24), \
	AT(gamut_text_screen, cursor_row, 28), \
	AT(gamut_text_screen, blink, 32), \
	AT(gamut_text_screen, palette, 36), \
	SIZE(gamut_text_screen_ops, 24), \
	AT(gamut_text_screen_ops, size, 0), \
	AT(gamut_text_screen_ops, look, 8), \
	AT(gamut_text_screen_ops, generation, 16), \
	SIZE(gamut_keyboard_ops, 16), \
	AT(gamut_keyboard_ops, size, 0), \
	AT(gamut_keyboard_ops, key, 8), \
	SIZE(gamut_firmware_config_ops, 16), \
	AT(gamut_firmware_config_ops, size, 0), \
	AT(gamut_firmware_config_ops, file, 8), \
	SIZE(gamut_slots_ops, 24), \
	AT(gamut_slots_ops, size, 0), \
	AT(gamut_slots_ops, add, 8), \
	AT(gamut_slots_ops, irq, 16), \
	SIZE(gamut_power_ops, 16), \
	AT(gamut_power_ops, size, 0), \
	AT(gamut_power_ops, request, 8)

#define FROZEN_VALUES \
	VALUE(GAMUT_AXIS_DISK, 0), \
	VALUE(GAMUT_AXIS_NET, 1), \
	VALUE(GAMUT_AXIS_INTERRUPTS, 2), \
	VALUE(GAMUT_AXIS_PLATFORM, 3), \
	VALUE(GAMUT_AXIS_MMU, 4), \
	VALUE(GAMUT_AXIS_CONSOLE, 5), \
	VALUE(GAMUT_COLOUR_V, 0), \
	VALUE(GAMUT_COLOUR_P, 1), \
	VALUE(GAMUT_COLOUR_VH, 2), \
	VALUE(GAMUT_OPTION_BOOL, 0), \
	VALUE(GAMUT_OPTION_INT, 1), \
	VALUE(GAMUT_OPTION_STRING, 2), \
	VALUE(GAMUT_OPTION_CHOICE, 3), \
	VALUE(GAMUT_OPTION_LIST, 4), \
	VALUE(GAMUT_OPTION_PATH, 5), \
	VALUE(GAMUT_LOG_ERROR, 0), \
	VALUE(GAMUT_LOG_WARN, 1), \
	VALUE(GAMUT_LOG_INFO, 2), \
	VALUE(GAMUT_LOG_DEBUG, 3), \
	VALUE(GAMUT_SPACE_PIO, 0), \
	VALUE(GAMUT_SPACE_MMIO, 1), \
	VALUE(GAMUT_PAGE_RAM, 0), \
	VALUE(GAMUT_PAGE_ROM, 1), \
	VALUE(GAMUT_IRQCHIP_WHOLE, 0), \
	VALUE(GAMUT_IRQCHIP_SPLIT, 1), \
	VALUE(GAMUT_ES, 0), \
	VALUE(GAMUT_CS, 1), \
	VALUE(GAMUT_SS, 2), \
	VALUE(GAMUT_DS, 3), \
	VALUE(GAMUT_FS, 4), \
	VALUE(GAMUT_GS, 5), \
	VALUE(GAMUT_LDTR, 6), \
	VALUE(GAMUT_TR, 7), \
	VALUE(GAMUT_SEG_COUNT, 8), \
	VALUE(GAMUT_END_POWEROFF, 0), \
	VALUE(GAMUT_END_REBOOT, 1), \
	VALUE(GAMUT_END_CRASH, 2), \
	VALUE(GAMUT_END_SUSPEND, 3), \
	VALUE(GAMUT_END_ERROR, 4), \
	VALUE(GAMUT_XEN_INTR_VECTOR, 1), \
	VALUE(GAMUT_XEN_INTR_TIME, 2), \
	VALUE(GAMUT_XEN_UNPLUG_DISKS, 1), \
	VALUE(GAMUT_XEN_UNPLUG_NICS, 2), \
	VALUE(GAMUT_XEN_UNPLUG_AUX_DISKS, 4), \
	VALUE(GAMUT_PV_SYSCALL, 0), \
	VALUE(GAMUT_PV_SYSENTER, 1), \
	VALUE(GAMUT_PV_TRAP, 2), \
	VALUE(GAMUT_PV_ATTENTION, 3), \
	VALUE(GAMUT_PV_RESUME, 0), \
	VALUE(GAMUT_PV_SLOW, 1), \
	VALUE(GAMUT_PCI_BAR_NONE, 0), \
	VALUE(GAMUT_PCI_BAR_IO, 1), \
	VALUE(GAMUT_PCI_BAR_MEM32, 2), \
	VALUE(GAMUT_PCI_BAR_MEM64, 3), \
	VALUE(GAMUT_POWER_OFF, 0), \
	VALUE(GAMUT_POWER_REBOOT, 1), \
	VALUE(GAMUT_FD_IN, 1), \
	VALUE(GAMUT_FD_OUT, 2), \
	VALUE(GAMUT_FD_ERR, 4), \
	VALUE(GAMUT_PLUGIN_MAGIC, 0x54554d47), \
	VALUE(GAMUT_BUILD_SIGNATURE, 0x1040808), \
	VALUE(GAMUT_ABI_MAJOR, 1), \
	VALUE(GAMUT_XEN_REVISION, 1), \
	VALUE(GAMUT_IRQ_REVISION, 1), \
	VALUE(GAMUT_IRQ_ISA, 16), \
	VALUE(GAMUT_IRQ_COUNT, 24), \
	VALUE(GAMUT_PCI_REVISION, 1), \
	VALUE(GAMUT_PCI_BARS, 6), \
	VALUE(GAMUT_PCI_ANY, 0xffff), \
	VALUE(GAMUT_PC_REVISION, 1), \
	VALUE(GAMUT_SLOTS_REVISION, 1), \
	VALUE(GAMUT_POWER_REVISION, 1)
/* clang-format on */

#endif
