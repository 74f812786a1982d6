#!/usr/bin/env python3
"""Explicit-state check of the exchange ring with private cursors and no shared hints (see ../crash.md and crates/shm-ring/src/mpmc/exchange.rs).

Every interleaving of a few participants is explored, and any participant may be killed between
any two steps. Interleavings are sequentially consistent: memory orders are a job for loom.

Checked in every reachable state
  - a block is in exactly one place: one slot, or one participant's hand;
  - messages leave in the order in which their slot CAS succeeded, none twice, none lost;
  - FULL is answered only while N messages are queued, EMPTY only while none is;
  - every live participant, run alone from here, finishes its operation in a bounded number of steps.
At the end: what consumers read is what was sent, and a dead consumer costs at most one message.

Usage: exchange.py            runs the standard configurations
       exchange.py --break X  plants a bug (late-payload, no-lap-check); the run must fail
"""
import sys
import time

FILL, LOAD, SWAP, HINT, READ = range(5)


def run(n, roles, kills, limit=2_000_000, bug=None):
    """n slots; roles: ('P', [messages]) or ('C', number of receives)."""
    p = len(roles)
    slots = tuple((0, i) for i in range(n))  # (seq, block): seq 2*lap is EMPTY, 2*lap+1 is FULL
    hands = tuple((FILL if r == "P" else LOAD, 0, 0, None, n + i, ()) for i, (r, _) in enumerate(roles))
    # participant: (pc, op, private cursor, slot value seen, block in hand, results)
    start = (slots, (0, 0), (None,) * (n + p), hands, (), (), frozenset())
    seen, todo = {start}, [start]
    longest_solo, states, began = 0, 0, time.time()

    def steps(state, i):
        """All successor states of participant i's next step; [] when it has nothing left to do."""
        slots, hints, blocks, hands, sent, got, dead = state
        pc, op, cur, s, held, results = hands[i]
        role, work = roles[i]
        producer = role == "P"
        if op >= (len(work) if producer else work):
            return []

        def to(pc, op=op, cur=cur, s=s, held=held, results=results, slots=slots, hints=hints,
               blocks=blocks, sent=sent, got=got):
            h = list(hands)
            h[i] = (pc, op, cur, s, held, results)
            return (slots, hints, blocks, tuple(h), sent, got, dead)

        side = 0 if producer else 1
        if pc == FILL:  # the payload is complete before anything shared changes
            if bug == "late-payload":
                return [to(LOAD)]
            b = list(blocks)
            b[held] = work[op]
            return [to(LOAD, blocks=tuple(b))]
        if pc == LOAD:
            s = slots[cur % n]
            want = 2 * (cur // n) + side
            if s[0] == want:
                return [to(SWAP, s=s)]
            if s[0] > want:  # others went on without me: walk, or jump to the published hint
                L, i_ = s[0] // 2, cur % n
                base = L * n + i_ + 1 if producer and s[0] % 2 else (L - 1) * n + i_ + 1
                nxt = {max(cur + 1, base)}
                return [to(LOAD, cur=c) for c in nxt]
            if producer:
                assert bug or len(sent) - len(got) == n, ("FULL but not full", state)
                return [to(FILL, op=op + 1, results=results + ("FULL",))]
            assert bug or len(sent) == len(got), ("EMPTY but not empty", state)
            return [to(LOAD, op=op + 1, results=results + ("EMPTY",))]
        if pc == SWAP:  # the one atomic step: my block goes in, the slot's block comes out
            now = slots[cur % n]
            same = now == s if bug != "no-lap-check" else now[0] % 2 == s[0] % 2
            if not same:
                return [to(LOAD)]
            l = list(slots)
            l[cur % n] = (now[0] + 1, held)
            if producer:
                b = blocks
                if bug == "late-payload":
                    return [to(HINT, held=now[1], cur=cur + 1, slots=tuple(l), sent=sent + (work[op],),
                               s=("late", held))]
                return [to(HINT, held=now[1], cur=cur + 1, slots=tuple(l), blocks=b, sent=sent + (work[op],))]
            return [to(HINT, held=now[1], cur=cur + 1, slots=tuple(l), got=got + (sent[len(got)],))]
        if pc == HINT:  # a hint only; it may be skipped, and may lag
            h = list(hints)
            h[side] = max(h[side], cur)
            after = []
            for hh in {tuple(h), hints}:
                if producer:
                    b = blocks
                    if s and s[0] == "late":
                        b = list(blocks)
                        b[s[1]] = work[op]
                        b = tuple(b)
                    after.append(to(FILL, op=op + 1, s=None, hints=hh, blocks=b, results=results + ("ok",)))
                else:
                    after.append(to(READ, s=None, hints=hh))
            return after
        # READ: in place, as late as the consumer likes
        return [to(LOAD, op=op + 1, results=results + (blocks[held],))]

    def check(state):
        slots, _, _, hands, sent, got, _ = state
        where = [b for _, b in slots] + [h[4] for h in hands]
        assert len(set(where)) == len(where) == n + p, ("a block in two places", state)
        assert got == sent[: len(got)] and len(sent) - len(got) <= n, ("order", state)

    def solo(state, i):
        op, count = state[3][i][1], 0
        while True:
            nxt = steps(state, i)
            if not nxt or nxt[0][3][i][1] > op:
                return count
            state, count = nxt[0], count + 1
            assert count < 60, ("a survivor cannot finish alone", state)

    while todo:
        state = todo.pop()
        states += 1
        check(state)
        moved = False
        for i in range(p):
            if i in state[6]:
                continue
            longest_solo = max(longest_solo, solo(state, i))
            for nxt in steps(state, i):
                moved = True
                killed = state[:6] + (state[6] | {i},) if len(state[6]) < kills else None
                for t in (nxt, killed):
                    if t is not None and t not in seen:
                        seen.add(t)
                        todo.append(t)
        if not moved:
            read = [r for k, h in enumerate(state[3]) if roles[k][0] == "C" for r in h[5] if r != "EMPTY"]
            assert len(read) == len(set(read)) and set(read) <= set(state[4]), ("payload", state)
            lost = set(state[5]) - set(read)
            assert len(lost) <= sum(roles[d][0] == "C" for d in state[6]), ("lost more than in hand", state)
        if states >= limit:
            break
    print(f"N={n} {roles} kills<={kills}: {states} states{' (cut)' if states >= limit else ', complete'}, "
          f"survivor alone needs <= {longest_solo} steps, {time.time() - began:.1f} s", flush=True)


if __name__ == "__main__":
    bug = sys.argv[2] if sys.argv[1:2] == ["--break"] else None
    run(1, [("P", ["a1", "a2"]), ("C", 2)], 1, bug=bug)
    run(2, [("P", ["a1", "a2", "a3"]), ("C", 3)], 1, bug=bug)
    run(1, [("P", ["a1", "a2"]), ("P", ["b1"]), ("C", 2), ("C", 1)], 2, limit=700_000, bug=bug)
    run(2, [("P", ["a1", "a2"]), ("P", ["b1"]), ("C", 2)], 2, limit=700_000, bug=bug)
