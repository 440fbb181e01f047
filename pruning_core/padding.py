"""Padding that any supported model can tell from text, so that a row's answer does not depend on its batch."""

from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from pruning_core.architectures import ARCHITECTURES, max_tokens

#: Rows are filled up to whole eights, on which matrix products are quickest.
_EIGHT = 8
_MOST_TOKENS = "secateur_most_tokens"


class NoPadding(ValueError):
    """The tokenizer has no token that could fill up the shorter rows of a batch."""


def ensure_padding(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> None:
    """Make tokenizer and config fit for batches, in place; both are to be saved with the model.

    Rows are padded on the right. GPT-2's tokenizers have no padding token: the end of text serves, or else the unknown
    token, and `config.pad_token_id` follows, because GPT-2's classifier reads the last token that is not padding.
    Elsewhere a `pad_token_id` stays as it is: RoBERTa counts its positions from it. T5 starts its decoder with padding,
    and its classifier reads the last end of sequence, of which transformers wants as many in each row; `tasks.texts`
    sees to that.

    Raises:
        NoPadding: there is no such token, or it is the one that T5 classifies by.
    """
    tokenizer.padding_side = "right"
    reads_decoder = bool(config.is_encoder_decoder)
    if tokenizer.pad_token is None:
        stand_in = None if reads_decoder else tokenizer.eos_token or tokenizer.unk_token
        if stand_in is None:
            raise NoPadding("The tokenizer has no padding token. Set tokenizer.pad_token to one of its tokens.")
        tokenizer.pad_token = stand_in
    architecture = ARCHITECTURES.get(config.model_type)
    if config.pad_token_id is None or (architecture and not architecture.own_padding):
        config.pad_token_id = tokenizer.pad_token_id
    if reads_decoder and getattr(config, "decoder_start_token_id", None) is None:
        config.decoder_start_token_id = tokenizer.pad_token_id
    limits = (max_tokens(config.to_dict()), getattr(tokenizer, _MOST_TOKENS, None))
    setattr(tokenizer, _MOST_TOKENS, min((limit for limit in limits if limit is not None), default=None))


def pad_multiple(tokenizer: PreTrainedTokenizerBase, longest: int) -> int | None:
    """What the rows of a batch are padded to a multiple of; None where the model has no positions for that.

    Args:
        tokenizer: after `ensure_padding`, of every model that is to read the batch.
        longest: tokens of the longest row.
    """
    most: int | None = getattr(tokenizer, _MOST_TOKENS, None)
    return None if most is not None and -(-longest // _EIGHT) * _EIGHT > most else _EIGHT
