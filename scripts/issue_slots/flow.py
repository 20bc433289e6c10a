"""Blocks of a function and its loops, and which of them is hot."""


class Flow:
    """Blocks of a function, and its natural loops."""

    def __init__(self, instructions):
        starts = {instructions[0].address}
        step = {a.address: b.address for a, b in zip(instructions, instructions[1:])}
        for i in instructions:
            if i.base in ("BRA", "EXIT", "RET", "BRX"):
                if i.target is not None:
                    starts.add(i.target)
                if i.address in step:
                    starts.add(step[i.address])
        self.blocks = {}
        current = None
        for i in instructions:
            if i.address in starts:
                current = self.blocks[i.address] = []
            current.append(i)
        self.after = {}
        for start, block in self.blocks.items():
            last = block[-1]
            targets = [last.target] if last.target in self.blocks else []
            if not last.ends and last.address in step:
                targets.append(step[last.address])
            if last.base in ("EXIT", "RET") and last.guard and last.address in step:
                targets.append(step[last.address])
            self.after[start] = targets
        self.entry = instructions[0].address
        self.before = {start: [] for start in self.blocks}
        for start, targets in self.after.items():
            for target in targets:
                self.before[target].append(start)
        self.loops = self._loops()

    def _loops(self):
        # Dominators by the simple iteration (Cooper, Harvey, Kennedy: A Simple, Fast Dominance Algorithm).
        order, seen, stack = [], {self.entry}, [(self.entry, iter(self.after[self.entry]))]
        while stack:
            node, rest = stack[-1]
            for target in rest:
                if target not in seen:
                    seen.add(target)
                    stack.append((target, iter(self.after[target])))
                    break
            else:
                order.append(node)
                stack.pop()
        order.reverse()
        number = {node: n for n, node in enumerate(order)}
        above = {self.entry: self.entry}
        changed = True
        while changed:
            changed = False
            for node in order[1:]:
                known = [b for b in self.before[node] if b in above and b in number]
                new = known[0]
                for other in known[1:]:
                    a, b = new, other
                    while a != b:
                        while number[a] > number[b]:
                            a = above[a]
                        while number[b] > number[a]:
                            b = above[b]
                    new = a
                if above.get(node) != new:
                    above[node] = new
                    changed = True

        def dominates(a, b):
            while b != a and b != self.entry:
                b = above[b]
            return a == b

        loops = {}
        for node in order:
            for target in self.after[node]:
                if not dominates(target, node):
                    continue
                body = loops.setdefault(target, {target})
                todo = [node]
                while todo:
                    at = todo.pop()
                    if at not in body and at in number:
                        body.add(at)
                        todo += self.before[at]
        return loops


def nested_in(flow, head):
    return sorted(h for h, b in flow.loops.items() if h != head and b < flow.loops[head])


def hot_loops(flow, wanted, nested=0, roles=1):
    """The innermost loops with their share of the instructions that are wanted and so many loops in them. Roles: that many warpgroups
    have a loop each, which shares those instructions evenly with the others."""
    counts = {h: sum(wanted(i) for b in body for i in flow.blocks[b]) for h, body in flow.loops.items()}
    most = sum(wanted(i) for block in flow.blocks.values() for i in block)
    heads = [h for h, n in counts.items() if 2 * roles * n >= most > 0 and len(nested_in(flow, h)) >= nested]
    inmost = [h for h in heads if not any(flow.loops[g] < flow.loops[h] for g in heads)]
    return sorted(inmost)
