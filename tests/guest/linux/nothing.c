// SPDX-License-Identifier: MIT
/* The program that fork-exec runs. */
int main(void)
{
	return 0;
}
