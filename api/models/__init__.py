"""Models: the files of Hugging Face directories, checked without loading them."""
