import pytest

from scripts.causal.leaderboard.document import parse_document
from scripts.causal.leaderboard.submission_json import Fact
from scripts.causal.leaderboard.technique_reading import read_techniques
from scripts.causal.leaderboard.techniques import variables_in


def read(text, *facts):
    return read_techniques(parse_document(text), facts)


@pytest.mark.parametrize(
    ("text", "variable", "value"),
    [
        ("- 11L, 512d, 8H/4KV GQA", "num_layers", 11),
        ("- 11L, 512d, 8H/4KV GQA", "num_kv_heads", 4),
        ("- 3× MLP with LeakyReLU(0.5)²", "mlp_mult", 3),
        ("- 3× MLP with LeakyReLU(0.5)²", "activation", "leaky_relu_sq"),
        ("- XSA on last 4 layers", "xsa_layers", 4),
        ("- 11L\n- XSA on all layers", "xsa_layers", 11),
        ("- Partial RoPE (16/64 dims)", "rope_dims", "partial"),
        ("- BigramHash(2048, dim=128)", "bigram_hash", 2048),
        ("- EMA(0.997) + tight SWA", "ema", 0.997),
        ("- EMA(0.997) + tight SWA", "swa", True),
        ("- GPTQ-lite int6 + lzma", "gptq", "lite"),
        ("- full Hessian GPTQ", "gptq", "full"),
        ("- int5 MLP, int6 attention", "quant_bits", "int5_int6"),
        ("- Parallel Muon, WD=0.04", "optimizer", "parallel_muon"),
        ("- Parallel Muon, WD=0.04", "weight_decay", 0.04),
        ("- SP8192 tokenizer", "vocab_size", 8192),
        ("- batch of 786K tokens/step", "train_batch_tokens", 786_000),
        ("- sliding window eval, stride=64", "sliding_window_eval", 64),
        ("- legal score-first TTT", "ttt", "score_first"),
        ("```bash\nROPE_BASE=50000 QK_GAIN_INIT=5.25 \\\npython t.py\n```", "qk_gain", 5.25),
        ("| Parameter | Value |\n|---|---|\n| MATRIX_LR | 0.025 |", "matrix_lr", 0.025),
    ],
)
def test_a_technique_is_read_with_its_value(text, variable, value):
    assert read(f"# T\n\n## Architecture\n\n{text}\n").used[variable] == value


def test_every_technique_names_its_line():
    found = read("# T\n\n## Architecture\n\n- SmearGate\n- EMA(0.997)\n")
    assert {k: (s.file, s.line) for k, s in found.sources.items()} == {
        "smear_gate": ("README.md", 5),
        "ema": ("README.md", 6),
    }


@pytest.mark.parametrize(
    "text", ["No SmearGate.", "SmearGate was removed.", "- SMEAR_GATE=0", "SmearGate: not used"]
)
def test_denied_techniques_are_absent(text):
    found = read(f"# T\n\n{text}\n")
    assert "smear_gate" not in found.used
    assert found.absent == ("smear_gate",)


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        ("### Dropped: TTT", "ttt"),
        ("- **Not helpful**: SWA, Partial RoPE (16/64), TTT", "rope_dims"),
        ("- Tested and rejected: SmearGate (fails at convergence), TTT", "smear_gate"),
        ("- no SLOT, persistent n-gram cache, or logit bias", "ngram_mix"),
        ("- TTT: present in code but disabled by default", "ttt"),
        ("4. Try EMA instead of SWA", "ema"),
        ("I ran out of credits before I could try XSA", "xsa_layers"),
        ("The top entries use EMA instead of SWA.", "ema"),
    ],
)
def test_what_is_left_out_or_only_wished_for_is_not_used(text, variable):
    assert variable not in read(f"# T\n\n## Notes on the run\n\n{text}\n").used


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        ("- no warm start but EMA, SWA or both", "ema"),
        ("- without TTT: 1.12. SmearGate or not, XSA helps", "smear_gate"),
        ("# TTT disabled\n\n- SmearGate", "smear_gate"),
        ("- Not used: no TTT. SWA every 50 steps", "swa"),
        ("- U-Net skips, XSA on the last 4", "xsa_layers"),
        ("- U-Net skip connections with SmearGate", "smear_gate"),
    ],
)
def test_a_denial_ends_where_its_sentence_turns(text, variable):
    assert variable in read(f"# T\n\n{text}\n").used


def test_a_section_on_what_was_dropped_is_not_read():
    text = "# T\n\n- 11L\n\n## What we dropped\n\n- SmearGate on 4 layers\n"
    assert read(text).used == {"num_layers": 11}


def test_scoring_first_alone_is_no_test_time_training():
    assert "ttt" not in read("# T\n\n- Score-first n-gram cache\n").used
    assert read("# T\n\n- Score-first updates\n- TTT with SGD\n").used["ttt"] == "score_first"


def test_what_was_tried_and_rejected_is_not_used():
    assert "swa" not in read("# T\n\n## What didn't work\n\n- SWA hurt\n").used


def test_submission_json_beats_the_readme():
    found = read("# T\n\n- 9 layers\n", Fact(("num_layers",), 11, 4))
    assert found.used["num_layers"] == 11
    assert found.sources["num_layers"].file == "submission.json"


def test_compliance_flags_deny():
    assert read("# T\n", Fact(("compliance", "no_slot"), True, 9)).absent == ("slot",)


def test_names_in_a_label_come_in_text_order():
    named = variables_in("MATRIX_LR=0.06 + SmearGate")
    assert [(n, v) for n, v, _ in named] == [("matrix_lr", 0.06), ("smear_gate", None)]


@pytest.mark.parametrize(
    ("text", "variable", "value"),
    [
        ("```bash\npython data.py --variant sp1024\n```", "vocab_size", 1024),
        ("- Tokenizer: `fineweb_4096_bpe.model`", "vocab_size", 4096),
        ("- BigramHash embedding (vocab=3072, dim=128)", "vocab_size", None),
        ("- Sliding window: stride=64, seq_len=2048", "train_seq_len", None),
        ("- Trained at seq_len=2048, eval stride=64", "train_seq_len", 2048),
        ("- brotli model and lzma-compressed code", "compressor", "brotli"),
        ("- XSA on ALL 11 layers (not just last 4)", "xsa_layers", 11),
        ("- LQER packed as asymmetric int4, int6 weights", "quant_bits", "int6"),
        ("- Muon optimizer (matrix params): lr=0.025, AdamW lr=0.035", "matrix_lr", 0.025),
        ("- SWA over warmdown checkpoints", "warmdown_iters", None),
        ("- Warmdown: 26% of all steps", "warmdown_iters", True),
        ("- Warmdown over final ~3000 steps", "warmdown_iters", 3000),
        ("```\nMODEL_DIM=512 MLP_MULT=2 MLP_HIDDEN=960 python t.py\n```", "mlp_mult", 1.875),
    ],
)
def test_a_setting_of_one_part_is_not_read_as_another(text, variable, value):
    assert read(f"# T\n\n## Architecture\n\n{text}\n").used.get(variable) == value
