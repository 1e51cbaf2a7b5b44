"""Documents, dashboard and alert rules speak of metrics that exist; the rules do what they say."""

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.watched import NAME, ROOT, SELECTOR, labels_by_name, told_by_a_server, told_by_a_worker

DOCUMENT = ROOT / "docs" / "metrics.md"
DASHBOARD = ROOT / "deploy" / "grafana" / "penstock.json"
RULES = ROOT / "deploy" / "prometheus" / "penstock.rules.yml"
TESTS = ROOT / "deploy" / "prometheus" / "penstock.test.yml"

VARIABLES = {"$__rate_interval": "5m", "$job": "penstock", "$queue": "orders"}


def rules() -> list[dict[str, Any]]:
    """Return all alert rules."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard that show something."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def panel_expressions() -> list[str]:
    """Return what the panels ask, with a value for each variable."""
    found = []
    for expression in (target["expr"] for panel in panels() for target in panel["targets"]):
        for variable, value in VARIABLES.items():
            expression = expression.replace(variable, value)
        found.append(expression)
    return found


def promtool(*arguments: str | Path) -> str:
    """Run promtool, which must be content, and return what it says."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("title", "told"), [("Of a server", told_by_a_server), ("Of a worker", told_by_a_worker)])
async def test_every_metric_is_in_the_documentation(title: str, told: Any) -> None:
    section = DOCUMENT.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    rows = {line.split("`")[1]: line for line in section.splitlines() if line.startswith(("| `penstock_", "| `p"))}
    families = {f"{family.name}{'_total' * (family.type == 'counter')}": family for family in await told()}
    assert set(families) == set(rows)
    for name, family in families.items():
        kind, labels = (cell.strip() for cell in rows[name].split("|")[2:4])
        assert kind == family.type, name
        has = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert set(re.findall(r"`(\w+)`", labels)) == has, name


async def test_every_metric_that_is_asked_for_exists_with_the_labels_that_are_asked_for() -> None:
    exist = labels_by_name([*await told_by_a_server(), *await told_by_a_worker()])
    questions = re.findall(
        r"^\|[^|]*\| `(.*)` \|$", DOCUMENT.read_text().partition("\n## Questions\n")[2], re.MULTILINE
    )
    assert len(questions) >= 8
    asked = [*panel_expressions(), *(rule["expr"] for rule in rules()), *questions]
    for expression in asked:
        names = set(NAME.findall(re.sub(r'"[^"]*"', "", expression)))
        assert names, expression
        assert names <= set(exist), expression
        for name, selector in SELECTOR.findall(expression):
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', selector)))
            assert labels <= exist[name], f"{name} has no {labels - exist[name]}: {expression}"


def test_the_panels_are_valid_queries(tmp_path: Path) -> None:
    expressions = [*panel_expressions(), 'label_replace(up, "a", "$1", "b", "(.*)")']
    records = [{"record": f"panel:{at}", "expr": expression} for at, expression in enumerate(expressions)]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": records}]}))
    assert f"{len(records)} rules found" in promtool("check", "rules", file)


def test_the_rules_are_valid_and_pass_their_tests() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", RULES)
    promtool("test", "rules", TESTS)


def test_every_alert_is_tested_explained_and_says_what_it_is_about() -> None:
    tests, document = TESTS.read_text(), DOCUMENT.read_text()
    headings = set(re.findall(r"^### (Penstock\w+)$", document, re.MULTILINE))
    assert headings == {rule["alert"] for rule in rules()}
    for rule in rules():
        assert re.search(rf'alertname(?:: |="){rule["alert"]}\b', tests), f"{rule['alert']} is not tested to fire"
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        assert rule["annotations"]["runbook"] == f"docs/metrics.md#{rule['alert'].lower()}"


def test_the_dashboard_can_be_imported() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    variables = {each["name"] for each in dashboard["templating"]["list"]}
    assert variables == {"datasource", "job", "queue"}
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    for panel in panels():
        assert panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${datasource}", "no data source of one installation"
    assert not overlapping(panel["gridPos"] for panel in dashboard["panels"])


def overlapping(places: Iterable[dict[str, int]]) -> list[tuple[int, int]]:
    """Return the cells of the grid that are taken twice or lie outside of it."""
    taken: set[tuple[int, int]] = set()
    twice = []
    for place in places:
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if (x, y) in taken or x >= 24:
                    twice.append((x, y))
                taken.add((x, y))
    return twice
