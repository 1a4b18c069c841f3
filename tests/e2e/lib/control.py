# SPDX-License-Identifier: MIT
"""A client of a domain's control socket that is not Gamut's own, and a domain in the background."""
import json
import os
import pathlib
import re
import select
import socket
import struct
import subprocess
import time

from guest import GAMUT, log

SOCKETS = lambda: pathlib.Path(os.environ["XDG_RUNTIME_DIR"]) / "gamut"


def gamut(*args, timeout=60, input_text=""):
    """(status, stdout, stderr) of a command; unlike guest.run it may leave a domain behind."""
    proc = subprocess.run([GAMUT, *map(str, args)], input=input_text.encode(), capture_output=True, timeout=timeout,
                          check=False)
    out, err = proc.stdout.decode(errors="replace"), proc.stderr.decode(errors="replace")
    log(f"$ gamut {' '.join(map(str, args))}\n{out}\n--- stderr\n{err}\n--- status {proc.returncode}\n")
    return proc.returncode, out, err


def connect(sock, path):
    """The kernel takes short paths only; and several threads have one working directory."""
    folder = os.open(pathlib.Path(path).parent, os.O_PATH | os.O_DIRECTORY)
    try:
        sock.connect(f"/proc/self/fd/{folder}/{pathlib.Path(path).name}")
    finally:
        os.close(folder)


class Stream:
    """A Unix socket, with what came so far as text."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Not settimeout: with that, a queue that is full is an error at once and not a wait.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 20, 0))
        connect(self.socket, path)
        self.socket.settimeout(20)
        self.text = ""
        self.at = 0

    def send(self, text):
        self.socket.sendall(text.encode() if isinstance(text, str) else text)

    def _read(self, timeout):
        if not select.select([self.socket], [], [], timeout)[0]:
            return False
        data = self.socket.recv(65536)
        self.text += data.decode(errors="replace")
        return bool(data)

    def expect(self, pattern, timeout=30):
        end = time.monotonic() + timeout
        while True:
            found = re.compile(pattern, re.M).search(self.text, self.at)
            if found:
                self.at = found.end()
                return found
            if time.monotonic() > end:
                raise TimeoutError(f"no {pattern!r}; the last of it:\n{self.text[-1500:]}")
            self._read(0.5)

    def ended(self, timeout=30):
        """Whether the other end closes within that time."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if select.select([self.socket], [], [], 0.5)[0]:
                try:
                    if not self.socket.recv(65536):
                        return True
                except ConnectionResetError:
                    return True
        return False

    def close(self):
        self.socket.close()


class Client(Stream):
    """Speaks the protocol of core/control/README.md."""

    def __init__(self, name):
        super().__init__(SOCKETS() / f"{name}.sock")
        self.ids = 0
        self.greeting = self.next()

    def next(self, timeout=30):
        """The next object, or None when the connection is closed."""
        end = time.monotonic() + timeout
        while "\n" not in self.text:
            if time.monotonic() > end:
                raise TimeoutError("no answer")
            if select.select([self.socket], [], [], 0.5)[0] and not self._read(0):
                return None
        line, _, self.text = self.text.partition("\n")
        return json.loads(line)

    def ask(self, what, **params):
        """Sends a request; its id."""
        self.ids += 1
        self.send(json.dumps({"id": self.ids, "method": what, "params": params}) + "\n")
        return self.ids

    def call(self, what, **params):
        """The answer to a request: its result, or its error."""
        wanted = self.ask(what, **params)
        while True:
            answer = self.next()
            if answer is None:
                raise EOFError(f"closed before the answer to {what}")
            if answer.get("id") == wanted:
                return answer.get("result", answer.get("error"))


class Domain:
    """`gamut run --detach`; destroyed at the end if it still is there."""

    def __init__(self, path, *options):
        self.name = pathlib.Path(path).stem
        self.log = pathlib.Path(path).with_suffix(".log")
        self.status, self.out, self.err = gamut("run", "--detach", "--log", self.log, *options, path)

    def state(self):
        for domain in json.loads(gamut("list", "--json")[1]):
            if domain["name"] == self.name:
                return domain["state"]
        return None

    def says(self, text, timeout=5):
        """Whether its log has that; the process has a last word when the domain is gone."""
        end = time.monotonic() + timeout
        while text not in self.log.read_text() and time.monotonic() < end:
            time.sleep(0.1)
        return text in self.log.read_text()

    def info(self):
        return json.loads(gamut("info", "--json", self.name)[1])

    def __enter__(self):
        if self.status:
            raise RuntimeError(f"did not start: {self.status}\n{self.err}")
        return self

    def __exit__(self, *_):
        gamut("destroy", self.name)
        log(f"--- log of {self.name}\n{self.log.read_text() if self.log.exists() else ''}\n")


class Shell:
    """A busybox shell on a stream."""
    PROMPT = r"gamut# "

    def __init__(self, stream):
        self.stream = stream

    def ready(self, timeout=60):
        self.stream.expect("gamut-init: ready", timeout)
        self.stream.expect(self.PROMPT, timeout)

    def command(self, line, timeout=30):
        self.stream.send(f"{line}; echo 'END''-MARK' $?\n")
        start = self.stream.at
        found = self.stream.expect(r"END-MARK (\d+)", timeout)
        return self.stream.text[start:found.start()]
