"""How a process that trains keeps memory, and the want of it, told from other errors.

torch is looked for where it has been loaded, and not loaded: where it has not been, none of its errors can come from.
"""

import sys

#: For the environment of a process that trains on a CPU. glibc gives large blocks back to the system when they are
#: freed, and the system clears each page of the next: in a step of BERT-base 220,000 pages, for a fifth of its time.
#: Kept, they are used again; a run's peak is about a sixth higher for it. Of very large ones too many would be kept.
#: Other C libraries know no such names.
KEEPS_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**26), "MALLOC_TRIM_THRESHOLD_": str(2**40)}

#: How torch's allocator on a CPU says it (c10/core/impl/alloc_cpu.cpp); it has no exception of its own.
_CPU_ALLOCATOR = ("can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that an allocation failed, on a GPU or on the host."""
    if isinstance(error, MemoryError):
        return True
    if (torch := sys.modules.get("torch")) and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _CPU_ALLOCATOR)
