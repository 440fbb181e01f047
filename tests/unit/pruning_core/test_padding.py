"""A row's answer does not depend on the rows beside it, whatever the tokenizer has to pad with."""

from pathlib import Path

import pyarrow as pa
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, GPT2Tokenizer, PreTrainedTokenizerFast, T5Tokenizer

from pruning_core.architectures import SERVED
from pruning_core.columns import TextClassification
from pruning_core.padding import NoPadding, ensure_padding
from pruning_core.tasks.registry import task_of
from tests.tiny import BAD, GOOD, NEUTRAL, tiny_config, tiny_model, tiny_tokenizer

WORDS = [*GOOD, *BAD, *NEUTRAL]
TEXTS = ["great film", "the plot was awful and stale with some music", "boring"]


def gpt2_tokenizer() -> GPT2Tokenizer:
    """As stock GPT-2's: no padding token, nothing added to a text."""
    return GPT2Tokenizer(
        vocab={"<|endoftext|>": 0, **{letter: i + 1 for i, letter in enumerate("abcdefgh")}}, merges=[]
    )


def t5_tokenizer() -> T5Tokenizer:
    pieces = ["<pad>", "</s>", "<unk>", *(f"▁{word}" for word in WORDS[:18]), "▁"]
    return T5Tokenizer(vocab=[(piece, -float(i)) for i, piece in enumerate(pieces)], extra_ids=0)


def bare(**special: str) -> PreTrainedTokenizerFast:
    """A tokenizer with those special tokens only."""
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


@pytest.mark.parametrize("model_type", SERVED)
def test_a_padded_row_is_answered_as_it_is_alone(model_type: str) -> None:
    model, tokenizer = tiny_model(model_type).train(mode=False), tiny_tokenizer()
    ensure_padding(tokenizer, model.config)
    with torch.inference_mode():
        together = model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits
        alone = torch.cat([model(**tokenizer(text, return_tensors="pt")).logits for text in TEXTS])
    assert torch.allclose(together, alone, atol=1e-5)


def test_gpt2_reads_the_last_token_of_each_row_with_the_end_of_text_as_padding(tmp_path: Path) -> None:
    model, tokenizer = tiny_model("gpt2").train(mode=False), gpt2_tokenizer()
    model.config.pad_token_id = None
    tokenizer.padding_side = "left"
    ensure_padding(tokenizer, model.config)
    assert (tokenizer.pad_token, model.config.pad_token_id) == ("<|endoftext|>", 0)
    texts = ["abc", "abcdefgh", "h"]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    assert batch["input_ids"][0].tolist() == [1, 2, 3, 0, 0, 0, 0, 0]
    with torch.inference_mode():
        together = model(**batch).logits
        alone = torch.cat([model(**tokenizer(text, return_tensors="pt")).logits for text in texts])
    assert torch.allclose(together, alone, atol=1e-5)

    tokenizer.save_pretrained(tmp_path)
    model.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).pad_token == "<|endoftext|>"
    assert type(model).from_pretrained(tmp_path).config.pad_token_id == 0


def test_gpt2_s_config_follows_the_padding_token_of_its_tokenizer() -> None:
    config, tokenizer = tiny_config("gpt2", pad_token_id=None), bare(eos_token="a", pad_token="b")
    ensure_padding(tokenizer, config)
    assert (tokenizer.pad_token, config.pad_token_id) == ("b", 1)


@pytest.mark.parametrize("pair", [None, "other"])
def test_a_text_that_says_end_of_sequence_is_no_end_to_t5(pair: str | None) -> None:
    model, tokenizer = tiny_model("t5").train(mode=False), t5_tokenizer()
    model.config.eos_token_id = tokenizer.eos_token_id
    ensure_padding(tokenizer, model.config)
    task = task_of(TextClassification(text="text", text_pair=pair, label="label"), ["no", "yes"])
    texts = {"text": ["great film", "stale </s> plot"], "other": ["boring </s>", "dull"]}
    split = task.encode(pa.table(texts | {"label": ["yes", "no"]}), tokenizer, 16)
    batch = task.collate(tokenizer, [split[0], split[1]])
    assert (batch["input_ids"] == tokenizer.eos_token_id).sum(1).tolist() == ([2, 2] if pair else [1, 1])
    assert model(**batch).loss.isfinite()


def test_the_unknown_token_is_the_last_resort() -> None:
    config, tokenizer = tiny_config("gpt2", pad_token_id=None), bare(unk_token="[UNK]")
    ensure_padding(tokenizer, config)
    assert (tokenizer.pad_token, config.pad_token_id) == ("[UNK]", 2)


def test_a_tokenizer_without_any_special_token_is_refused() -> None:
    with pytest.raises(NoPadding, match="no padding token"):
        ensure_padding(bare(), tiny_config("gpt2"))


def test_roberta_s_config_keeps_the_number_that_its_positions_start_from() -> None:
    config = tiny_config("roberta", pad_token_id=1)
    ensure_padding(bare(pad_token="b"), config)
    assert config.pad_token_id == 1


def test_t5_does_not_pad_with_the_token_that_it_classifies_by() -> None:
    with pytest.raises(NoPadding):
        ensure_padding(bare(eos_token="a", unk_token="[UNK]"), tiny_config("t5"))


def test_t5_starts_its_decoder_with_padding_where_the_config_does_not_say() -> None:
    config = tiny_config("t5", decoder_start_token_id=None)
    ensure_padding(tiny_tokenizer(), config)
    assert config.decoder_start_token_id == 0


def test_each_row_of_t5_ends_once_even_if_it_is_cut() -> None:
    model, tokenizer = tiny_model("t5").train(mode=False), t5_tokenizer()
    model.config.eos_token_id = 1
    ensure_padding(tokenizer, model.config)
    texts = [" ".join(WORDS[:12]), WORDS[2], ""]
    batch = tokenizer(texts, padding=True, truncation=True, max_length=8, return_tensors="pt")
    assert (batch["input_ids"] == 1).sum(dim=1).tolist() == [1, 1, 1]
    with torch.inference_mode():
        together = model(**batch).logits
        alone = [model(**tokenizer(text, truncation=True, max_length=8, return_tensors="pt")).logits for text in texts]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


def test_each_pair_of_t5_ends_twice() -> None:
    tokenizer = t5_tokenizer()
    ensure_padding(tokenizer, tiny_config("t5", eos_token_id=1))
    pairs = tokenizer([WORDS[0], " ".join(WORDS[:9])], ["", " ".join(WORDS[:9])], truncation=True, max_length=8)
    assert [ids.count(1) for ids in pairs["input_ids"]] == [2, 2]
