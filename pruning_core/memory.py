"""How a process that trains keeps memory, and the want of it, told from other errors.

torch is looked for where it has been loaded, and not loaded: where it has not been, none of its errors can come from.
"""

import sys

#: How torch's allocator on a CPU says it (c10/core/impl/alloc_cpu.cpp); it has no exception of its own.
_CPU_ALLOCATOR = ("can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that an allocation failed, on a GPU or on the host."""
    if isinstance(error, MemoryError):
        return True
    if (torch := sys.modules.get("torch")) and isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _CPU_ALLOCATOR)
