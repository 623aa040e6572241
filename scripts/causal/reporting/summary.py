"""The report's first page in plain words: what was asked, found, left open, and what is next."""

from __future__ import annotations

from collections.abc import Sequence

from scripts.causal.campaign.schema import ContrastResult, MatchedBy, Verdict
from scripts.causal.reporting import words
from scripts.causal.reporting.campaign_files import CampaignFiles
from scripts.causal.reporting.cost import Cost
from scripts.causal.stats.sentences import ENOUGH_TOKENS_PER_PARAMETER

VERDICT_WORDS: dict[Verdict, str] = {
    "confirmed_better": "better",
    "confirmed_worse": "worse",
    "equivalent": "no difference",
    "inconclusive": "open",
    "screened_out": "screened out",
    "failed": "failed",
}
INTERACTIONS = {
    "reinforce": "together they bring more than each alone, added up",
    "hinder": "together they bring less than each alone, added up",
}
MODIFIERS = {"turns": "has the opposite effect", "depends": "has another effect"}
MATCHED: dict[MatchedBy, str] = {
    "flops": "training compute",
    "steps": "number of steps",
    "wall_time": "training time on the clock",
}


def all_results(campaign: CampaignFiles) -> tuple[ContrastResult, ...]:
    """The campaign's verdicts, best news first; those of the cycles while it is unfinished."""
    if campaign.results is not None:
        results = campaign.results.results
    else:
        results = tuple(r for c in campaign.cycles if c.results for r in c.results.results)
    order = list(VERDICT_WORDS)
    return tuple(sorted(results, key=lambda r: (order.index(r.verdict), r.effect or 0.0)))


def asked(campaign: CampaignFiles) -> list[str]:
    """The question, from the plan and the leaderboard, or from the family's own claims."""
    lines = []
    if not campaign.about_leaderboard:
        tried = [one.contrast.id for one in all_results(campaign)]
        claims = [each for name in tried for each in campaign.claims.get(name, ())]
        if claims:
            sources = words.listed(list(dict.fromkeys(claim.source for claim in claims)))
            lines.append(
                f"Put to the test: {words.plural(len(claims), 'published claim')} about this "
                f"family of models, from {sources}. What of it holds on fresh seeds?"
            )
    elif campaign.leaderboard is not None:
        read = campaign.leaderboard.submissions
        compared = sum(len(entry.ablations) for entry in read)
        lines.append(
            f"{words.plural(len(read), 'submission')} to the leaderboard were read; they report "
            f"{words.plural(compared, 'comparison')} of their own. Which of the changes they "
            "made lower the loss because of what they are, and not because of what came with them?"
        )
    plan = campaign.plan
    if plan is not None:
        matched = MATCHED[plan.matched_by]
        kinds = {one.contrast.matched_by for one in all_results(campaign)} - {plan.matched_by}
        if others := words.listed(sorted(MATCHED[kind] for kind in kinds)):
            matched += f" ({others} where a change asks for that)"
        lines.append(
            "Each chosen change was tested against the same configuration without it: same "
            f"{matched}, same seeds, same order of the data. A difference of {plan.mde:g} bits "
            "per byte (bpb) is the smallest that was taken to matter, and the chance of even one "
            f"false confirmation in the whole campaign was held at {plan.alpha:.0%}."
        )
    return lines or [
        "This folder holds no plan and no leaderboard, so the question is not on file."
    ]


def found_headline(results: Sequence[ContrastResult]) -> str:
    """How many contrasts ended in which verdict, in one sentence."""
    if not results:
        return "No contrast has a verdict yet."
    names = {
        "confirmed_better": "is confirmed better|are confirmed better",
        "confirmed_worse": "is confirmed worse|are confirmed worse",
        "equivalent": "makes no difference that matters|make no difference that matters",
        "inconclusive": "stays open|stay open",
        "screened_out": "was screened out|were screened out",
        "failed": "could not be run to a result|could not be run to a result",
    }
    parts = []
    for verdict, forms in names.items():
        number = sum(result.verdict == verdict for result in results)
        if number:
            parts.append(f"{number} {forms.split('|')[number > 1]}")
    return f"Of {words.plural(len(results), 'change')} tried, {words.listed(parts)}."


def sentence(result: ContrastResult) -> str:
    """The verdict on one contrast in plain words."""
    if result.verdict == "failed" or result.effect is None:
        return "No seed gave a result in both arms, so nothing can be said."
    size = f"{words.bpb(abs(result.effect))} bpb"
    seeds = words.plural(len(result.seeds_used), "fresh seed")
    if result.phase == "screen":
        direction = "better" if result.effect < 0 else "worse"
        return (
            f"{size} {direction} on {words.plural(len(result.seeds_used), 'screening seed')}, "
            "which pick what to test and prove nothing."
        )
    if result.verdict == "equivalent":
        if result.effect == 0:
            return f"Gives exactly the same score on {seeds}."
        return f"Makes no difference of {result.mde:g} bpb or more, on {seeds}."
    if result.verdict == "inconclusive":
        difference = words.effect(result.effect)
        found = f"Cannot be told: a difference of {difference} bpb may be luck."
        if result.power is not None:
            chance = words.percent(result.power)
            found += f" A true effect of {result.mde:g} bpb had a chance of {chance} to be seen."
        return found
    what = "validation loss" if result.contrast.of_bpb else result.contrast.outcome_words
    does = "Lowers" if result.verdict == "confirmed_better" else "Raises"
    return f"{does} the {what} by {size} on {seeds}, none of which took part in the choice."


def dependences(campaign: CampaignFiles, results: Sequence[ContrastResult]) -> list[str]:
    """Effects that hang on another change or on the setting, in plain words."""
    lines = []
    for result in results:
        if result.interaction is not None and result.interaction.answer in INTERACTIONS:
            told = INTERACTIONS[result.interaction.answer]
            lines.append(f"“{result.contrast.label}”: {told}.")
    for each in campaign.modifiers.modifiers if campaign.modifiers else ():
        if each.answer in MODIFIERS:
            what = words.listed(list(each.differs)) or "nothing that is on file"
            lines.append(f"“{each.label}” {MODIFIERS[each.answer]} with another {what}.")
    return lines


def full_scale_limits(
    campaign: CampaignFiles, results: Sequence[ContrastResult], cost: Cost
) -> list[str]:
    """What the verdicts do not say about the scale of the competition, or of the claims."""
    setting = []
    if cost.parameters is not None:
        setting.append(f"models of {_range(*map(words.count, cost.parameters))} parameters")
    if cost.tokens_per_parameter is not None:
        low, high = (words.number(value, 2) for value in cost.tokens_per_parameter)
        setting.append(f"{_range(low, high)} training tokens per parameter")
    if campaign.plan is not None:
        setting.append(f"scale “{campaign.plan.scale}”")
    at = f" ({', '.join(setting)})" if setting else ""
    there = (
        "nothing here was measured there"
        if campaign.validation is None
        else "what was tried towards that stands under “At full scale”"
    )
    elsewhere = (
        "The competition trains about 17 million parameters for ten minutes on eight H100 GPUs; "
        f"{there}."
        if campaign.about_leaderboard
        else "What was published was measured at scales of its own."
    )
    lines = [
        f"A verdict holds where it was measured{at}. {elsewhere} "
        "An effect can shrink, vanish or change its sign on the way."
    ]
    found = ("confirmed_better", "confirmed_worse", "equivalent")
    turning = [
        f"“{r.contrast.label}”" for r in results if r.trend == "may_flip" and r.verdict in found
    ]
    if turning:
        lines.append(
            f"{words.listed(turning)}: the effect’s course during training points through zero, "
            "so longer training may reverse it."
        )
    if cost.tokens_per_parameter and cost.tokens_per_parameter[0] < ENOUGH_TOKENS_PER_PARAMETER:
        lines.append(
            f"With fewer than {ENOUGH_TOKENS_PER_PARAMETER:.0f} training tokens per parameter, "
            "small runs often rank changes unlike full-size ones."
        )
    return lines


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def next_steps(campaign: CampaignFiles, results: Sequence[ContrastResult]) -> list[str]:
    """What the verdicts make worth doing."""
    lines = []
    better = [r for r in results if r.verdict == "confirmed_better"]
    for result in better:
        first = (
            "repeat it with longer training first, since its effect may flip"
            if result.trend == "may_flip"
            else "validate it at full scale"
            if campaign.about_leaderboard
            else "repeat it at the scale it was published at"
        )
        lines.append(f"“{result.contrast.label}” is worth carrying on: {first}.")
    if not better and results:
        lines.append("Nothing here justifies a change of the baseline yet.")
    weak = [
        r for r in results if r.verdict == "inconclusive" and (r.power is None or r.power < 0.8)
    ]
    if weak:
        names = words.listed([f"“{r.contrast.label}”" for r in weak])
        lines.append(
            f"{names}: run more seeds. With the seeds it had, an effect of {weak[0].mde:g} bpb "
            "was more likely to be missed than a test should allow."
        )
    worse = [f"“{r.contrast.label}”" for r in results if r.verdict == "confirmed_worse"]
    if worse:
        lines.append(f"{words.listed(worse)}: leave out at this scale.")
    failed = [f"“{r.contrast.label}”" for r in results if r.verdict == "failed"]
    if failed:
        lines.append(f"{words.listed(failed)}: read the recorded reasons before running it again.")
    if campaign.identifiability is not None and campaign.about_leaderboard:
        tried = {result.contrast.variable for result in results}
        open_ones = [
            entry.variable
            for entry in campaign.identifiability.variables
            if entry.verdict == "experiment_first" and entry.variable not in tried
        ]
        if open_ones:
            lines.append(
                "Not tested yet, and not to be told from the leaderboard alone: "
                f"{words.listed(open_ones)}."
            )
    if campaign.results is not None:
        left = campaign.results.alpha_left
        lines.append(
            f"{words.number(left)} of the error budget is left for further cycles."
            if left > 0
            else "The error budget is spent: a further claim needs a new campaign."
        )
    return lines or ["Run the campaign to its end; there is nothing to act on yet."]
