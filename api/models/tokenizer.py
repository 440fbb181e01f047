"""Checks that a tokenizer can be read and that the model has an embedding for each of its tokens."""

import json
from collections.abc import Mapping

from tokenizers import Tokenizer


class BadTokenizer(ValueError):
    """The tokenizer cannot be taken; the message says what to do."""


def check_tokenizer(files: Mapping[str, bytes], vocab_size: int) -> None:
    """Check the tokenizer's files.

    Args:
        files: tokenizer.json, vocab.txt, vocab.json: those that there are.
        vocab_size: how many tokens the model knows.

    Raises:
        BadTokenizer: A file cannot be read, or names a token that the model does not know.
    """
    largest = {
        "tokenizer.json": _largest_of_tokenizer,
        "vocab.txt": _largest_of_lines,
        "vocab.json": _largest_of_object,
    }
    for name, raw in files.items():
        if name in largest and (token := largest[name](raw)) >= vocab_size:
            raise BadTokenizer(
                f"{name} has token id {token}, and the model's vocab_size is {vocab_size}. Upload the tokenizer that "
                "belongs to the model, or resize the model's embeddings."
            )


def _largest_of_tokenizer(raw: bytes) -> int:
    try:
        vocabulary = Tokenizer.from_str(raw.decode()).get_vocab(with_added_tokens=True)
    except UnicodeDecodeError as error:
        raise BadTokenizer("tokenizer.json is not UTF-8.") from error
    except Exception as error:  # the Rust library raises plain Exception for whatever it cannot read
        raise BadTokenizer(f"tokenizer.json cannot be read by the tokenizers library: {error}.") from error
    return max(vocabulary.values(), default=-1)


def _largest_of_lines(raw: bytes) -> int:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        raise BadTokenizer("vocab.txt is not UTF-8.") from error
    return len(raw.splitlines()) - 1


def _largest_of_object(raw: bytes) -> int:
    try:
        vocabulary: object = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadTokenizer(f"vocab.json is not JSON: {error}.") from error
    if not isinstance(vocabulary, dict) or not all(type(token) is int for token in vocabulary.values()):
        raise BadTokenizer("vocab.json must map each token to its number.")
    return max(vocabulary.values(), default=-1)
