"""See the package."""


def is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError)
