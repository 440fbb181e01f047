"""Checks that transformers will make of the files the tokenizer that they are, and that the model knows its tokens.

transformers does not simply read tokenizer.json: unless the class is the generic one, it takes the vocabulary out of
it and builds the family's own tokenizer around that. Files of another kind then fail in the job, or worse, give every
word the same unknown token. Special tokens that the vocabulary lacks are appended to it, with ids for which the model
has no embedding.
"""

import io
import json
from collections.abc import Collection, Iterator, Mapping
from types import NoneType

from tokenizers import Tokenizer

from api.bodies import compact, parse
from api.models.configuration import Configuration
from api.models.tokenizer_kinds import CLASS_OF_FAMILY, KINDS, Kind
from api.problems import MalformedRequest
from pruning_core.architectures import ARCHITECTURES
from store import JsonObject

#: The files that are looked into.
FILES = frozenset(
    {
        "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
        "vocab.txt", "vocab.json", "merges.txt",
    }
)  # fmt: skip

_GENERIC = frozenset({"PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend"})
_REMEDY = (
    'Save the tokenizer again with tokenizer.save_pretrained(folder), or set "tokenizer_class": '
    '"PreTrainedTokenizerFast" in tokenizer_config.json to have tokenizer.json taken as it is.'
)
_INPUTS = frozenset({"input_ids", "token_type_ids", "attention_mask"})
#: Roles of special tokens, as special_tokens_map.json and tokenizer_config.json name them.
_ROLES = frozenset(f"{role}_token" for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
#: What some settings of tokenizer_config.json are, where they are given.
_SETTINGS: dict[str, tuple[type, ...]] = {
    "split_special_tokens": (bool,),
    "additional_special_tokens": (list, NoneType),
    "extra_special_tokens": (list, dict, NoneType),
    "chat_template": (str, list, dict, NoneType),
}
_PROBES = ("The film was good.", "ünïcödé 日本 ✓ \t x1", "")


class BadTokenizer(ValueError):
    """The tokenizer cannot be taken; the message says what to do."""


def check_tokenizer(files: Mapping[str, bytes], configuration: Configuration) -> None:
    """Check the tokenizer's files.

    Args:
        files: those of `FILES` that there are.
        configuration: of the model.

    Raises:
        BadTokenizer: A file cannot be read, belongs to another kind of tokenizer, or has tokens that the model does
            not know.
    """
    settings = _object(files, "tokenizer_config.json")
    _require_plain(settings)
    named = settings.get("tokenizer_class") or configuration.document.get("tokenizer_class")
    name = str(named or CLASS_OF_FAMILY[configuration.model_type]).removesuffix("Fast")
    tokenizer = read_tokenizer(files["tokenizer.json"]) if "tokenizer.json" in files else None
    special = {**_special(_object(files, "special_tokens_map.json")), **_special(settings)}
    if name in KINDS:
        kind = KINDS[name]
        special = {**kind.special, **special}
        _require_kind(name, kind, tokenizer, files)
        _require_case(kind, tokenizer, settings)
    elif f"{name}Fast" not in _GENERIC and name not in _GENERIC:
        raise BadTokenizer(f"The tokenizer's class {compact(named)} is not supported. {_REMEDY}")
    elif tokenizer is None:
        raise BadTokenizer(
            f"tokenizer_class {name!r} needs a tokenizer.json. Upload what tokenizer.save_pretrained(folder) writes."
        )
    if not (special.get("pad_token") or _stand_in(special, configuration)):
        raise BadTokenizer(
            'The tokenizer has no padding token. Name one of its tokens in tokenizer_config.json: "pad_token": "…".'
        )
    vocabulary = vocabulary_of(tokenizer, files)
    if name in KINDS and special.get("unk_token") not in vocabulary:
        raise BadTokenizer(f"The vocabulary lacks the unknown token {special.get('unk_token')!r}. {_REMEDY}")
    if name in KINDS and KINDS[name].unk_id not in {None, vocabulary.get(special["unk_token"] or "")}:
        raise BadTokenizer(
            f"{name} gives unknown words the id {KINDS[name].unk_id}, where the vocabulary has another token than "
            f"{special['unk_token']!r}. {_REMEDY}"
        )
    added = [*_added(files, settings), *(_sentinels(settings) if name == "T5Tokenizer" else ())]
    _require_known(vocabulary, [*special.values(), *added], configuration.vocab_size)
    if configuration.model_type == "t5":
        _require_end(name, special, vocabulary, tokenizer, configuration)
    if tokenizer is not None:
        _probe(tokenizer, configuration.vocab_size)
        pads = ARCHITECTURES[configuration.model_type].own_padding  # GPT-2's tokenizers add nothing to a text
        if name not in KINDS and pads and not tokenizer.encode("").ids:
            raise BadTokenizer(
                "tokenizer.json adds no special tokens, so that an empty text would have no token at all. Give it a "
                "post-processor that adds them, such as [CLS] … [SEP]."
            )


def _require_plain(settings: JsonObject) -> None:
    if settings.get("auto_map"):
        raise BadTokenizer(
            "tokenizer_config.json names code of its own (auto_map), and this service runs none from uploads. "
            f"Leave auto_map out if transformers can do without. {_REMEDY}"
        )
    if not isinstance(settings.get("tokenizer_class"), str | None):
        raise BadTokenizer(f"tokenizer_config.json: tokenizer_class must be the name of a class. {_REMEDY}")
    for side in ("padding_side", "truncation_side"):
        if settings.get(side, "right") not in ("right", "left"):
            raise BadTokenizer(f"tokenizer_config.json: {side} must be right or left.")
    for setting, kinds in _SETTINGS.items():
        if setting in settings and not isinstance(settings[setting], kinds):
            raise BadTokenizer(f"tokenizer_config.json: {setting} cannot be {compact(settings[setting])}. {_REMEDY}")
    names = settings.get("model_input_names", ["input_ids"])
    if not (isinstance(names, list) and "input_ids" in names and all(name in _INPUTS for name in map(str, names))):
        raise BadTokenizer(
            f"tokenizer_config.json: model_input_names must be a list of {', '.join(sorted(_INPUTS))}; input_ids "
            "must be among them."
        )


def _require_kind(name: str, kind: Kind, tokenizer: Tokenizer | None, files: Mapping[str, bytes]) -> None:
    if tokenizer is not None:
        model = type(tokenizer.model).__name__
        if model != kind.model:
            raise BadTokenizer(f"tokenizer.json holds a {model}, and {name} is a {kind.model}. {_REMEDY}")
    elif not kind.plain or not set(kind.plain) <= set(files):
        needed = f"tokenizer.json, or {' with '.join(kind.plain)}" if kind.plain else "tokenizer.json"
        raise BadTokenizer(
            f"{name} needs {needed}. Upload what tokenizer.save_pretrained(folder) writes, or name the right "
            "tokenizer_class in tokenizer_config.json."
        )


def _require_case(kind: Kind, tokenizer: Tokenizer | None, settings: JsonObject) -> None:
    """What tokenizer.json says of upper and lower case is not read; what tokenizer_config.json says counts."""
    if kind.lowercases is None or tokenizer is None:
        return
    stored = getattr(tokenizer.normalizer, "lowercase", None)
    applied = settings.get("do_lower_case", kind.lowercases)
    if isinstance(stored, bool) and stored != applied:
        raise BadTokenizer(
            f"tokenizer.json has lowercase {compact(stored)}, and transformers goes by tokenizer_config.json, where "
            f'do_lower_case is {compact(applied)}. Set "do_lower_case": {compact(stored)} there.'
        )


def _special(settings: JsonObject) -> dict[str, str | None]:
    """Special tokens by role; a role may be declared empty."""
    found: dict[str, str | None] = {}
    for role, value in settings.items():
        if role.endswith("_token") and (role in _ROLES or not isinstance(value, bool)):
            token = value.get("content") if isinstance(value, Mapping) else value
            if not isinstance(token, str | None) or (token == "" and role in _ROLES):
                raise BadTokenizer(f"{role} must be a token, not {compact(value)}. {_REMEDY}")
            found[role] = token
    return found


def _stand_in(special: Mapping[str, str | None], configuration: Configuration) -> str | None:
    """What pruning_core/padding.py pads with in a family whose tokenizers have no padding token."""
    if ARCHITECTURES[configuration.model_type].own_padding:
        return None
    return special.get("eos_token") or special.get("unk_token")


def _sentinels(settings: JsonObject) -> list[str]:
    """T5's class adds these where the vocabulary lacks them."""
    count = settings.get("extra_ids", 100)
    return [f"<extra_id_{number}>" for number in range(count)] if isinstance(count, int) and count < 10_000 else []


def _require_end(
    name: str,
    special: Mapping[str, str | None],
    vocabulary: Mapping[str, int],
    tokenizer: Tokenizer | None,
    configuration: Configuration,
) -> None:
    """T5's classifier reads what its decoder says at the end of sequence: each text must end with that token, once."""
    end = configuration.document.get("eos_token_id", 1)
    if name == "T5Tokenizer":
        ends = [vocabulary.get(special.get("eos_token") or "")]  # its class appends this one
    else:
        ends = [number for number in tokenizer.encode("").ids if number == end] if tokenizer else []
    if ends != [end]:
        raise BadTokenizer(
            f"config.json says that eos_token_id is {compact(end)}, and the tokenizer does not end every text with "
            "one such token, by which T5 classifies. Upload the tokenizer that belongs to the model."
        )


def _added(files: Mapping[str, bytes], settings: JsonObject) -> Iterator[str]:
    """Tokens that are appended where the vocabulary lacks them."""
    yield from _object(files, "added_tokens.json")
    for name in ("additional_special_tokens", "extra_special_tokens"):
        more = settings.get(name) or ()
        for value in more.values() if isinstance(more, Mapping) else more if isinstance(more, list) else ():
            token = value.get("content") if isinstance(value, Mapping) else value
            if isinstance(token, str):
                yield token
    decoder = settings.get("added_tokens_decoder")
    for value in decoder.values() if isinstance(decoder, Mapping) else ():
        if isinstance(value, Mapping) and isinstance(token := value.get("content"), str):
            yield token


def _require_known(vocabulary: Mapping[str, int], tokens: Collection[str | None], vocab_size: int) -> None:
    size = max(len(vocabulary), max(vocabulary.values(), default=-1) + 1)
    if size > vocab_size:
        raise BadTokenizer(
            f"The tokenizer has token id {size - 1}, and the model's vocab_size is {vocab_size}. Upload the tokenizer "
            "that belongs to the model, or resize the model's embeddings."
        )
    missing = sorted({token for token in tokens if token and token not in vocabulary})
    if size + len(missing) > vocab_size:
        raise BadTokenizer(
            f"The vocabulary lacks {', '.join(map(repr, missing[:5]))}; appended to it, they would have ids for which "
            f"the model (vocab_size {vocab_size}) has no embedding. Name the tokens that the vocabulary has in "
            "tokenizer_config.json, or resize the model's embeddings."
        )


def _probe(tokenizer: Tokenizer, vocab_size: int) -> None:
    """Encode a few texts: what fails with these, or gives ids beyond the model, fails in the job."""
    for text in _PROBES:
        try:
            ids = [*tokenizer.encode(text).ids, *tokenizer.encode(text, "x").ids]
        except Exception as error:  # the Rust library raises plain Exception
            raise BadTokenizer(f"tokenizer.json cannot encode {text!r}: {error}. Give it an unknown token.") from error
        if max(ids, default=0) >= vocab_size:
            raise BadTokenizer(
                f"tokenizer.json encodes {text!r} with id {max(ids)}, and the model's vocab_size is {vocab_size}. "
                "Upload the tokenizer that belongs to the model."
            )


def vocabulary_of(tokenizer: Tokenizer | None, files: Mapping[str, bytes]) -> dict[str, int]:
    """The number of each token, from `tokenizer`, or else from the files of `FILES` that do instead.

    Raises:
        BadTokenizer: A file cannot be read.
    """
    if tokenizer is not None:
        return tokenizer.get_vocab(with_added_tokens=True)
    if "vocab.txt" in files:
        # not str.splitlines: vocabularies hold line separators of Unicode as tokens
        lines = io.StringIO(_text(files, "vocab.txt"), newline=None)
        return {line.removesuffix("\n"): number for number, line in enumerate(lines)}
    return _numbered(files)


def read_tokenizer(raw: bytes) -> Tokenizer:
    """Read a tokenizer.json.

    Raises:
        BadTokenizer: It cannot be read.
    """
    try:
        return Tokenizer.from_str(raw.decode())
    except UnicodeDecodeError as error:
        raise BadTokenizer("tokenizer.json is not UTF-8.") from error
    except Exception as error:  # the Rust library raises plain Exception for whatever it cannot read
        raise BadTokenizer(f"tokenizer.json cannot be read by the tokenizers library: {error}.") from error


def _text(files: Mapping[str, bytes], name: str) -> str:
    try:
        return files[name].decode()
    except UnicodeDecodeError as error:
        raise BadTokenizer(f"{name} is not UTF-8.") from error


def _object(files: Mapping[str, bytes], name: str) -> JsonObject:
    """A file of settings; none is as good as an empty one."""
    try:
        document = parse(files.get(name, b"{}"))
    except MalformedRequest as error:
        raise BadTokenizer(f"{name}: {error.detail}".replace("The body", "it")) from error
    if not isinstance(document, Mapping):
        raise BadTokenizer(f"{name} is not a JSON object. Upload what tokenizer.save_pretrained(folder) writes.")
    return document


def _numbered(files: Mapping[str, bytes]) -> dict[str, int]:
    try:
        vocabulary: object = json.loads(files["vocab.json"])
    except (ValueError, RecursionError) as error:
        raise BadTokenizer(f"vocab.json is not JSON: {error}.") from error
    if not isinstance(vocabulary, dict) or not all(type(token) is int for token in vocabulary.values()):
        raise BadTokenizer("vocab.json must map each token to its number.")
    return vocabulary
