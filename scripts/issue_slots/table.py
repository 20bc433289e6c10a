"""Bounds as a table, and against the committed one."""
import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = ROOT / "kernelbench/kernels_cuda/issue_budget.json"
SLACK = 20  # of so many instructions one more is let pass: another nvcc orders things differently


def print_table(found, pipes):
    print(f"{'kernel':54} {'slots':>6} {'tensor':>7} {'operand':>7} {'shared':>7} {'memory':>7} {'issue':>7}  {'bound by':9} {'at most':>8} {'in turn':>8}")
    for label, facts in found.items():
        if isinstance(facts, str):
            continue
        p = facts["pipes"]
        print(f"{label:54} {facts['slots']:6} {p['tensor']:7.0f} {p['operand']:7.0f} {p['shared']:7.0f} {p.get('memory', 0):7.0f} {p['issue']:7.0f}  "
              f"{facts['longest']:9} {facts['at_most']:7.0%}  {facts['in_turn']:7.0%}  of {facts['goal']}")
        if pipes:
            for turn in facts["turns"]:
                print(f"{'':6}a warp's turn: " + ", ".join(f"{count} {pipe}" for pipe, count in sorted(turn.pipes.items())))
            print(f"{'':6}cycles: " + ", ".join(f"{pipe} {c:.0f}" for pipe, c in p.items()))


def judge(found, table):
    wrong = []
    for label, facts in found.items():
        if isinstance(facts, str):
            wrong.append(f"{label}: {facts}")
        elif label not in table:
            wrong.append(f"{label}: not in {TABLE.name}; scripts/check-issue-slots BUILD --update adds it")
        else:
            most = table[label]["slots"] + max(table[label]["slots"] // SLACK, 2)
            if facts["slots"] > most:
                wrong.append(f"{label}: {facts['slots']} instructions a turn, the table says {table[label]['slots']} (and lets {most} pass)")
            for key, words in (("at_most", "at most"), ("in_turn", "in turn")):
                if facts[key] < table[label][key]:
                    wrong.append(f"{label}: {words} {facts[key]:.1%} of {facts['goal']}, bound by {facts['longest']} with {facts['slots']} "
                                 f"instructions a turn; the table wants {table[label][key]:.0%} ({table[label]['slots']} instructions)")
    for label in table:
        if label not in found:
            wrong.append(f"{label}: in {TABLE.name}, but not among the kernels that are looked at")
    return wrong


def write(found):
    table = {label: {"at_most": int(facts["at_most"] * 100) / 100, "in_turn": int(facts["in_turn"] * 100) / 100, "slots": facts["slots"]}
             for label, facts in found.items() if not isinstance(facts, str)}
    TABLE.write_text(json.dumps(table, indent=1) + "\n")
    return len(table)


def read():
    return json.loads(TABLE.read_text()) if TABLE.exists() else {}
