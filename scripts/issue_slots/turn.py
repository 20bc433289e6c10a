"""One turn of a loop: the shortest way round that has what is asked for."""
from issue_slots.work import Work


def turn_of(flow, head, products, turns, loads=None, without=None):
    """The work of one turn of the loop at this block: the shortest way round with this many products, and as many loads from
    global memory at least (None: the most products).
    turns: of inner loops, by their first block, which the way leads through; the others may be passed by.
    without: what no instruction on the way says."""
    body = flow.loops[head]
    nested = {h: b for h, b in flow.loops.items() if h != head and h in body and b < body}
    outermost = {h: b for h, b in nested.items() if not any(h in other and h != g and b < other for g, other in nested.items())}
    owner = {block: h for h, b in outermost.items() for block in b}
    collapsed = {h: turn_of(flow, h, None, turns) for h in outermost}

    def node(block):
        return owner.get(block, block)

    nodes = {node(b) for b in body}
    work = {}
    edges = {n: set() for n in nodes}
    closes = set()
    barred = set()
    for block in body:
        n = node(block)
        if without and any(without in i.text for i in flow.blocks[block]):
            barred.add(n)
        if n in collapsed:
            work[n] = collapsed[n].times(turns.get(n, 1))
        else:
            work[n] = Work()
            for i in flow.blocks[block]:
                work[n].add(i)
        for target in flow.after[block]:
            if target == head:
                closes.add(n)
            elif target in body and node(target) != n:
                edges[n].add(node(target))
    # Topological order; what is left of cycles (none in reducible flow) would be skipped.
    order, seen = [], set()

    def visit(n):
        stack = [(n, iter(sorted(edges[n])))]
        seen.add(n)
        while stack:
            at, rest = stack[-1]
            for target in rest:
                if target not in seen:
                    seen.add(target)
                    stack.append((target, iter(sorted(edges[target]))))
                    break
            else:
                order.append(at)
                stack.pop()

    visit(node(head))
    order.reverse()

    # Ways are told apart by what they have of what is asked for, and of each kind only the shortest is kept.
    def kind(total, through):
        return (total.products, min(total.loads, loads or 0), through)

    start = node(head)
    asked = frozenset(outermost) & frozenset(turns)
    best = {start: {kind(work[start], asked & {start}): work[start]}}
    for n in order:
        for target in edges[n] - barred:
            for (_, _, through), sofar in list(best.get(n, {}).items()):
                total = sofar.plus(work[target])
                ways = best.setdefault(target, {})
                of_kind = kind(total, through | asked & {target})
                if of_kind not in ways or total.slots < ways[of_kind].slots:
                    ways[of_kind] = total
    ends = {}
    for n in closes:
        for (count, loaded, through), total in best.get(n, {}).items():
            if loaded >= (loads or 0) and through == asked and (count not in ends or total.slots < ends[count].slots):
                ends[count] = total
    if not ends:
        raise ValueError(f"no way through the loop at {head:#x} has {loads or 0} loads of global memory and leads through "
                         f"{len(asked)} inner loops")
    if products is None:
        return ends[max(ends)]
    if products not in ends:
        raise ValueError(f"no way through the loop has {products} products; there are ways with {', '.join(map(str, sorted(ends)))}")
    return ends[products]
