"""Does a program survive hundreds of random failures? Each run draws its case from a seed and is compared with the undisturbed run.

`baseline` (the undisturbed run) → `cases`, `host_cases` (what fails in a run) → `runner` (the runs) → `tally` (their sums); `testbeds` says
where a run takes place: here, or on hosts of its own.
"""
