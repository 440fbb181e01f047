"""The kinds of frames of a packed model, in the order in which they come."""

#: JSON: the precisions, and every file's name and bytes. Comes first.
HEAD = b"H"
#: A piece of a file that is no safetensors.
CONTENTS = b"F"
#: The JSON header of a safetensors file; its blocks follow.
HEADER = b"S"
#: A block of a tensor.
BLOCK = b"B"
#: SHA-256 of all that is unpacked. Comes last.
END = b"E"
