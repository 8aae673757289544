"""Ours beside every peer on the same work, and beside what the machine can do: `make bench`.

machine.py     what the machine is, and its limits
contender.py   a process that holds programs ready and runs them on demand, one thread, measured from inside
process.py     such processes, asked
race.py        several contenders in turn, so that all meet the same machine
work.py        the networks and images that all are given
programs/      what is measured, one kind of work a file: ours and the peers'
sections/      docs/benchmarks.md, a section a file: which programs, in which sizes, and what is said of them
page.py        its tables, each with the machine and the commit
autoattack.py  robust accuracy by our suite and by AutoAttack
device.py      the same on a GPU, and the paper's MNIST grid, in one command that needs torch alone
"""
