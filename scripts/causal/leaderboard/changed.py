"""Which variable a short text changes: a technique, or one setting of it."""

from __future__ import annotations

import re

from interventions.vocabulary import Value
from scripts.causal.leaderboard.numbers import parse_number
from scripts.causal.leaderboard.techniques import variables_in

Named = list[tuple[str, Value | None, int]]

_SETTING = re.compile(
    r"[\w²^()./-]{0,24}?(?:[ _-](?:LoRA|relu\W?2?|squared|cache|hash|matrix|sgd|adamw?)){0,2}[ _-]"
    r"(lr|learning[ _-]rate|epochs?|steps|chunk(?:[ _-](?:size|tokens))?|rank|momentum|freeze\w*|"
    r"order|alpha|lambda|slope|dim|concentration|threshold|weight[ _-]decay|optimizer|batch)\b"
    r"\s?(?:=|:|→|->|\d|sweep|from\b|to\b|\W*$)",
    re.IGNORECASE,
)
_TITLED = re.compile(  # "TTT variant = Full-weight SGD": which of several ways of it
    r"[\w-]{0,12} (variant|setting|config\w*|recipe|mode|method|T|temp\w*|schedule)s? = "
    r"(?!\W*(?:(?:no|none|off|on|yes|without|w/o|baseline|default)\b|LoRA))",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*_[A-Z][A-Z0-9_]*\b")
_OF_QAT = re.compile(r"\bint\d (?:\w+ )?(?:QAT|STE|fake[ -]quant)", re.I)  # the bits it is for
_NUMBER = re.compile(r"\d[\d.,]*")
_MIX = re.compile(
    r"(?:(?<![A-Za-z])n|\d)-?gram\b[^|;.]{0,30}"
    r"\b(?:cache|back-?off|mix\w*|blend\w*|oracle|interpolat)|\bhedge(?: ?mixer)?\b|"
    r"(?<!to )\b(?:n|\d{1,2})-?grams?\b(?: (?:only|alone|gain|evaluation))?\W*$|"
    r"^\W*(?:fixed |causal )?\d{1,2}-grams? (?:only|alone)\b|"
    r"\bneural cache\b|\bbyte[ -]mixer\b|(?-i:\bCTW\b)|"
    r"\b(?:seq(?:uence)?|substring) match(?:ing)?\b|"
    r"^\W*(?:add |(?:standard|entropy|hash\w*|adaptive|stupid|multi-order)[ -]){0,3}back-?off\b|"
    r"^\W*(?:post[- ])?(?:cache|mixer)\b(?! (?:LM|size|order|alpha|warm|refresh))",
    re.IGNORECASE,
)
_OF_MIXES = ("ram", "ache", "ixer", "edge", "off", "CTW", "atch")  # in each, whatever its case
_RECUR = re.compile(
    r"\b(?:block|layers?|hinge|depth)[ -]recur\w*|"
    r"\brecur(?:rence|s)? (?:on |of )?(?:layers? )?\d",
    re.I,
)
_ACTIVATION = re.compile(
    r"^\W*(?:MLP[ _-])?(?:activation\W{1,3})?"
    r"(?:\w{0,6}relu|silu|mish|swish|selu|softplus)[\w²^]*\W*$",
    re.IGNORECASE,
)
_OF_TWO = re.compile(  # "0.9 beats 0.5", "slope=0.9 is 0.0054 BPB worse than 0.5"
    r"(?<![\d.])\d?\.\d{1,2} "
    r"(?:beats|over|vs\.?|(?:is |was )?(?:[\d.]+ bpb )?(?:worse|better) than) "
    r"\d?\.\d{1,2}(?![\d])",
    re.IGNORECASE,
)
_OPTIMIZER = re.compile(
    r"\b(?:SGD|AdamW?|Muon) (?:optimi[sz]er|not|over|vs\.?|instead of|hurts|beats|replac\w+|->|→|"
    r"(?:is|was) (?:worse|better))|_OPTIMIZER\b",
    re.IGNORECASE,
)
_RUN_NAME = re.compile(r"\W*[a-z0-9]+(?:_[a-z0-9]+)+\W*$")  # ema_v1
_SIZES = ("num_layers", "model_dim", "mlp_mult", "num_heads", "num_kv_heads", "vocab_size")
_PLAIN_WORDS = tuple(  # what a change is called where it has no name of its own
    (variable, re.compile(pattern, re.IGNORECASE))
    for variable, pattern in (
        (
            "train_batch_tokens",
            r"\b(?:larg|small|bigg)\w* batch\b|^\W*batch(?: size| tokens)?\b|"
            r"\b(?:total|global|train) batch\b",
        ),
        (
            "warmdown_iters",
            r"\b(?:long|short)er warmdown\b|"
            r"^\W*warmdown\W*(?:\(|=|$|trigger|bug|fix|schedule|length|iters|steps)",
        ),
        (
            "train_seq_len",
            r"\b(?:long|short)er (?:context|sequences?)\b|\bseq ?\d{3,5}\b|^\W*train seq len\b|"
            r"\b(?:train(?:ing)? )?(?:context|ctx) \d{4}\b|^\W*\d{4} (?:context|ctx)\b",
        ),
        (
            "matrix_lr",
            r"^\W*(?:higher|lower|tuned|mid|matrix)(?: ?matrix| ?muon)? ?"
            r"(?:LRs?|learning rates?)\b|"
            r"^\W*LR (?:x ?)?\d",
        ),
        (
            "depth_recurrence",
            r"^\W*(?:no )?(?:recurrence|recursion)\b|\bno recur(?:rence|sion)\b|"
            r"\b(?:quadruple|triple|double|num) loops?\b|^\W*loops\b|\brecur \d|"
            r"\b(?:block|layer|weight)s?[ -](?:reuse|sharing)\b",
        ),
        (
            "num_layers",
            r"\b(?:additional|extra|\d\dth|one more) (?:transformer )?layers?\b|"
            r"^\W*depth ?\d{1,2}\b",
        ),
        ("quant_bits", r"^\W*(?:int|Q)[2-8](?: quant\w*)?\W*$"),
        ("num_kv_heads", r"\b(?:MQA|GQA)\b"),
        ("vocab_size", r"\bSP(\d{1,2}k)\b"),
        ("activation", r"\b(?:star|abs|cubed?)[ -]?ReLU|\b(?:GE|Re)GLU\b"),
        ("pruning", r"\b\d:\d (?:structured )?sparsity\b|\b(?:structured|magnitude) sparsity\b"),
        (
            "rope_dims",
            r"\b(?:partial )?RoPE (?:dims\b|(?:16|24|32|48|64)\b)|"
            r"\b(?:no|removed?|without|drop(?:ped)?) (?:RoPE|rotary)\b|\bNoPE\b",
        ),
        ("rope_base", r"\bRoPE base\b"),
        ("grad_clip", r"\bgrad(?:ient)?(?: norm)? clip(?:ping)?\b"),
        ("unet_skips", r"(?:(?<=\bthe )|(?<=\bno )|(?<=\bwithout ))skips\b"),
        ("bigram_hash", r"^\W*bigram[ =]{1,3}\d{3,5}\b"),
        ("mlp_mult", r"\b(?:wider|larger|bigger|narrower|smaller) (?:MLP|FFN)s?\b"),
        (
            "model_dim",
            r"^\W*(?:model )?(?:dim|width) ?[= ] ?(?:[2-9]\d\d|[1-4]\d{3})\b|"
            r"^\W*d(?:[2-9]\d\d|[1-4]\d{3})\W*$",
        ),
        (
            "tied_embeddings",
            r"\bunt(?:ied?|ying)\b[^,;]{0,12}\bembed|\bembed\w* untied\b|"
            r"^\W*(?:un)?tied\W*(?:\(|$)",
        ),
    )
)
_NAMESAKES = {
    "ema": re.compile(
        r"\b(?:codebook|hidden|teacher|vq)[ -]EMA\b|\bEMA (?:hidden|codebook|teacher)\b", re.I
    ),
    "sliding_window_eval": re.compile(r"\bsliding[ -]window (?:attention|attn)\b", re.IGNORECASE),
    "ttt": re.compile(r"\bmeta-TTT\b", re.IGNORECASE),
    "gptq": re.compile(
        r"\b(?:activation|outlier)[ -]aware GPTQ|\bGPTQ-quantized\b", re.IGNORECASE
    ),
}
_ELSEWHERE = re.compile(r"\b(?:TTT|scalar|head|LoRA|SLOT|adam\w*)\b", re.IGNORECASE)
_WITH_SETTINGS = ("ttt", "slot", "ngram_mix", "activation", "bigram_hash", "qat", "gptq")


def changes_in(text: str) -> Named:
    """Return what `variables_in` does, a setting of a technique for the technique: TTT_LR=0.002.

    "TTT (3 epochs)" is test-time training; "TTT epochs 3 → 5" a change of its epochs.
    """
    named = [one for one in variables_in(text) if not _of_another(one[0], text, one[2])]
    if len(named) > 1 and _OF_QAT.search(text):
        named = [one for one in named if one[0] != "quant_bits"]
    if not named and (match := _VARIABLE.search(text)):  # NUM_LAYERS optimum, BATCH_SIZE 1k → 2k
        number = _NUMBER.search(text, match.end())
        values = ("1", number.group() if number else "")
        told = next(filter(None, (variables_in(f"{match.group()}={v}") for v in values)), [])
        named = [(name, None, match.start()) for name, _, _ in told]
    if not named and any(part in text for part in _OF_MIXES):
        mix = _MIX.search(text)
        named = [("ngram_mix", None, mix.start())] if mix else []
    if not named and "ecur" in text and (recur := _RECUR.search(text)):
        named = [("depth_recurrence", None, recur.start())]
    if not named and _ACTIVATION.match(text):
        named = [("activation", None, 0)]
    return [
        (_setting_of(name, text[at:]), value, at) for name, value, at in named or _plainly(text)
    ]


def _of_another(name: str, text: str, at: int) -> bool:
    """Whether a technique's word says another thing: "codebook EMA", "EMA hidden state"."""
    words = _NAMESAKES.get(name)
    return words is not None and words.search(text, max(0, at - 18), at + 26) is not None


def _plainly(text: str) -> Named:
    """What a text names by the words for it: "larger batch", "lower LR", a run called no_swa."""
    text_apart = text.replace("_", " ")
    if _ELSEWHERE.search(text_apart):
        return []
    if _RUN_NAME.match(text):
        named = [item for item in variables_in(text_apart) if item[0] not in _SIZES]
        if named:
            return named
    return [
        (variable, parse_number(match.group(1)) if words.groups else None, match.start())
        for variable, words in _PLAIN_WORDS
        if (match := words.search(text_apart))
    ]


def _setting_of(name: str, text: str) -> str:
    if name not in _WITH_SETTINGS:
        return name
    match = _SETTING.match(text) or _TITLED.match(text)
    if match is None:
        return name
    setting = re.sub(r"[ -]", "_", match.group(1).lower())
    return f"other:{name.removesuffix('_mix').removesuffix('_hash')}_{setting}"


def setting_told(variable: str, text: str) -> str:
    """The setting that a sentence compares, for the technique it is of: "0.9 beats 0.5"."""
    if variable == "ttt" and _OPTIMIZER.search(text):
        return "other:ttt_optimizer"
    if _OF_TWO.search(text) and (variable == "activation" or "slope" in text.lower()):
        return "other:activation_slope"
    return variable
