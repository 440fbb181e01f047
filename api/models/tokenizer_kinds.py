"""transformers' tokenizer classes: what each makes of the files, and which one a family has unless told otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A class of tokenizers.

    Attributes:
        model: what tokenizer.json must hold.
        plain: the files that do instead of tokenizer.json.
        special: special tokens by role, unless told otherwise.
        lowercases: whether it lower-cases unless told otherwise; None where that is left to tokenizer.json.
        unk_id: the number that it gives to unknown words, whatever the vocabulary says; None where it looks there.
    """

    model: str
    plain: tuple[str, ...]
    special: Mapping[str, str]
    lowercases: bool | None = None
    unk_id: int | None = None


def _roles(unk: str, cls: str, sep: str, pad: str, mask: str) -> dict[str, str]:
    return {"unk_token": unk, "cls_token": cls, "sep_token": sep, "pad_token": pad, "mask_token": mask}


_WORDPIECE = Kind("WordPiece", ("vocab.txt",), _roles("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"), lowercases=True)
_ENDS = ("unk_token", "bos_token", "eos_token")
_FAIRSEQ = _roles("<unk>", "<s>", "</s>", "<pad>", "<mask>")

#: By class name without `Fast`.
KINDS: dict[str, Kind] = {
    "BertTokenizer": _WORDPIECE,
    "DistilBertTokenizer": _WORDPIECE,
    "ElectraTokenizer": _WORDPIECE,
    "MPNetTokenizer": Kind(
        "WordPiece", ("vocab.txt",), _roles("[UNK]", "<s>", "</s>", "<pad>", "<mask>"), lowercases=True
    ),
    "RobertaTokenizer": Kind("BPE", ("vocab.json", "merges.txt"), _FAIRSEQ),
    "XLMRobertaTokenizer": Kind("Unigram", (), _FAIRSEQ),
    "CamembertTokenizer": Kind("Unigram", (), _FAIRSEQ),
    "AlbertTokenizer": Kind("Unigram", (), _roles("<unk>", "[CLS]", "[SEP]", "<pad>", "[MASK]")),
    # GPT-2's has no padding token: pruning_core/padding.py takes the end of text
    "GPT2Tokenizer": Kind("BPE", ("vocab.json", "merges.txt"), dict.fromkeys(_ENDS, "<|endoftext|>")),
    "T5Tokenizer": Kind("Unigram", (), {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}, unk_id=2),
    "DebertaV2Tokenizer": Kind("Unigram", (), _roles("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]")),
}

#: What transformers takes where neither tokenizer_config.json nor config.json names a class.
CLASS_OF_FAMILY = {
    "bert": "BertTokenizer",
    "distilbert": "BertTokenizer",
    "electra": "BertTokenizer",
    "mpnet": "MPNetTokenizer",
    "roberta": "RobertaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "camembert": "CamembertTokenizer",
    "albert": "AlbertTokenizer",
    "deberta-v2": "DebertaV2Tokenizer",
    "modernbert": "PreTrainedTokenizerFast",
    "gpt2": "GPT2Tokenizer",
    "t5": "T5Tokenizer",
}
