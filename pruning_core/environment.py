"""What the environment of a process that trains on a CPU had better say: it is read when the process starts.

Other C libraries know no such names.
"""

QUICK_STEPS = {
    # glibc gives large blocks back to the system when they are freed, and the system clears each page of the next: in a
    # step of BERT-base 220,000 pages, for a fifth of its time. Kept, they are used again; a run's peak is about a sixth
    # higher for it. Of very large ones too many would be kept.
    "MALLOC_MMAP_THRESHOLD_": str(2**26),
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
}
