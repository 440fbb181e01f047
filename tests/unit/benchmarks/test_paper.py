"""The paper's runs can be carried out, and are compared with the right figures."""

import pytest

from benchmarks import paper
from benchmarks.paper_runs import FIGURES, METHODS, TASKS, PaperRun, all_runs


@pytest.mark.parametrize("scope", ["local", "global"])
def test_every_run_is_a_valid_spec_with_the_published_schedule(scope: str) -> None:
    for run in all_runs():
        task, spec = TASKS[run.task], run.spec(scope)
        if run.method == "dense":
            continue
        schedule = spec.schedule(task.items)
        assert schedule.total_steps == task.steps
        assert schedule.warmup_steps == task.warmup_steps
        assert schedule.density(schedule.total_steps) == pytest.approx(run.density)


def test_squad_takes_the_released_command_lines_number_of_steps() -> None:
    assert TASKS["squad"].steps == 55_330


def test_every_cell_has_a_figure_and_every_figure_a_cell() -> None:
    cells = {run.published for run in all_runs() if run.method != "dense"}
    assert cells == {pair for row in FIGURES.values() for pair in row}
    assert PaperRun("squad", "SMvP", 0.03, distilled=True).published == (72.7, 82.3)
    assert PaperRun("mnli", "L0", 0.1).published == (77.9, 78.5)
    assert len(all_runs()) == len(TASKS) * (1 + len(METHODS) * 4)


def test_a_dry_run_needs_neither_data_nor_model(capsys: pytest.CaptureFixture[str]) -> None:
    paper.main(["--dry-run", "--only", "squad-MvP-3"])
    printed = capsys.readouterr().out
    assert "55330 steps, warm-up 5400, cool-down 10800, scope local" in printed
    assert "65.2/76.3" in printed
