"""What bounds a kernel's hot loop."""
from issue_slots.flow import Flow, hot_loops, nested_in
from issue_slots.pipes import is_product
from issue_slots.turn import turn_of
from issue_slots.work import Work

MEMORY_BYTES = 4.8e12 / 132 / 1.83e9  # a cycle and processor


def hot_loop(flow, wanted, nested, roles, what):
    heads = hot_loops(flow, wanted, nested, roles)
    if len(heads) < roles:
        raise ValueError(f"no loop with {what}" if roles == 1 else f"{len(heads)} loops with {what}, not one for each of {roles} roles")
    return heads if roles > 1 else [min(heads, key=lambda h: len(flow.loops[h]))]


def judge_kernel(kernel, instructions):
    flow = Flow(instructions)
    inner = kernel.get("inner", [])  # None: may be passed by
    roles = kernel.get("roles", 1)
    heads = hot_loop(flow, is_product, len(inner), roles, f"products and {len(inner)} loops in it" if inner else "products")
    turns = [turn_of(flow, head, kernel.get("products"), {h: n for h, n in zip(nested_in(flow, head), inner) if n is not None}, kernel.get("loads"),
                     kernel.get("without"))
             for head in heads]
    warps = kernel["warps"] // roles  # of each role
    pipes = dict.fromkeys(Work().cycles(), 0.0)
    for turn in turns:
        for pipe, cycles in turn.cycles().items():
            pipes[pipe] += cycles * warps
    if "beside" in kernel:  # a warpgroup that multiplies nothing but works as hard
        [aside_head] = hot_loop(flow, lambda i: kernel["beside"] in i.op, 0, 1, kernel["beside"])
        aside = turn_of(flow, aside_head, None, {}).times(kernel["beside_turns"])
        for pipe, cycles in aside.cycles().items():
            pipes[pipe] += cycles * 4
    pipes["shared"] += kernel.get("fill", 0) / 128
    goal = "tensor"
    if "bytes" in kernel:
        pipes["memory"] = kernel["bytes"] / MEMORY_BYTES
        goal = "memory"
    longest = max(pipes, key=pipes.get)
    at_most = pipes[goal] / pipes[longest]
    # The products of all warpgroups follow one another; a warpgroup's, or where they go in step those of all, are followed by all else.
    products = sum(turn.products_in_turn for turn in turns) * warps
    together = kernel["warps"] if kernel.get("in_step") else 4
    alone = max((turn.products_in_turn + rest_of(turn)) * together for turn in turns)
    in_turn = pipes[goal] / max(pipes[longest], products, alone)
    return dict(slots=sum(turn.slots for turn in turns), turns=turns, pipes=pipes, goal=goal, longest=longest, at_most=at_most, in_turn=in_turn)


def rest_of(turn):
    """What a warp has to do beside its products."""
    cycles = turn.cycles()
    return max(cycles["issue"] - turn.products / 4, *(cycles[pipe] for pipe in ("fma", "alu", "mufu", "lsu")))
