#!/usr/bin/env python3
"""Explicit-state check of finding a dead participant's block from its seat word (see ../crash.md and crates/shm-ring/src/mpmc/reclaim.rs).

Several reapers, each with a private copy of the word it compares with; newcomers at any time; reapers may stop for good
at any step (killed or stopped).

  --rule free      anybody may rule by CAS(word it read -> {orphan, none}): unsound, a trace is printed
  --rule lock      only the holder of the seat's lock rules, i.e. the newcomer, before its first operation
  --rule chain     as lock, with three passes: every word, every slot, every word again; a word {c, a} that did not change
                   in between and whose c (a) was seen meanwhile is a sighting of a (c). No version number is needed
  --frozen         at every state: stop everybody for good. Counts states in which a dead seat cannot be settled with plain
                   sightings, and with chains through unsettled words (see infer())
"""
import sys, time
NONE = -1
class Bad(Exception): pass

def infer(slots, words, certain_only):
    seen = {b for _, b in slots} | {h for h, e in words if e == NONE}
    while not certain_only:
        more = set()
        for h, e in words:
            if e != NONE:
                if h in seen and e not in seen: more.add(e)
                if e in seen and h not in seen: more.add(h)
        if more <= seen: break
        seen |= more
    return seen

def run(n, roles, kills, births=2, reapers=2, rule="free", frozen=False, limit=1_500_000):
    p = len(roles)
    slots = tuple((0, i) for i in range(n)); words = tuple((n + i, NONE) for i in range(p))
    parts = tuple(("load", 0, 0, None, n + i) for i in range(p))
    R0 = (None, None, 0, None)  # seat, word as read, scan position, seen
    start = (slots, words, parts, frozenset(), (R0,) * (reapers if rule == "free" else 0), births, kills)
    par = {start: None}; todo = [start]; states = 0; began = time.time(); stuckA = stuckB = 0; exA = None
    def put(s, i, v): l = list(s); l[i] = v; return tuple(l)
    def trace(s):
        out = []
        while s is not None: out.append(s); s = par[s]
        return out[::-1]
    def moves(S):
        slots, words, parts, dead, reap, left, kl = S
        for i in range(p):
            if i in dead: continue
            pc, done, cur, s, hand = parts[i]; side, count = roles[i]
            if pc == "rule":  # newcomer with the lock: cur = scan position, s = seen
                pair = words[i]; pos = cur
                if pair[1] == NONE:
                    yield (slots, words, put(parts, i, ("load", max(0, count - 1), 0, None, pair[0])), dead, reap, left, kl); continue
                if rule == "chain":
                    # one pass = read every word, then every slot and certain word, then every word again
                    w1, seen_, w2 = s if s else ((), frozenset(), ())
                    if pos < p: t = (w1 + (words[pos],), seen_, w2)
                    elif pos < p + n: t = (w1, seen_ | {slots[pos - p][1]}, w2)
                    elif pos < 2 * p + n:
                        h, e = words[pos - p - n]; t = (w1, seen_ | ({h} if e == NONE else set()), w2)
                    elif pos < 3 * p + n: t = (w1, seen_, w2 + (words[pos - 2 * p - n],))
                    else:
                        same = [a for j, (a, b) in enumerate(zip(w1, w2)) if a == b and j != i]
                        known = set(seen_)
                        while True:
                            more = {e for h, e in same if e != NONE and h in known} | {h for h, e in same if e != NONE and e in known}
                            if more <= known: break
                            known |= more
                        hit = [b for b in pair if b in known]
                        if len(hit) == 2: raise Bad(("both circulate", slots, words, s))
                        if hit:
                            orphan = pair[1] if hit[0] == pair[0] else pair[0]
                            yield (slots, put(words, i, (orphan, NONE)), put(parts, i, ("rule", done, 0, None, hand)), dead, reap, left, kl)
                        else: yield (slots, words, put(parts, i, ("rule", done, 0, None, hand)), dead, reap, left, kl)
                        continue
                    yield (slots, words, put(parts, i, ("rule", done, pos + 1, t, hand)), dead, reap, left, kl); continue
                if s is not None:
                    orphan = pair[1] if s == pair[0] else pair[0]
                    yield (slots, put(words, i, (orphan, NONE)), put(parts, i, ("rule", done, 0, None, hand)), dead, reap, left, kl); continue
                if pos == n + p:
                    yield (slots, words, put(parts, i, ("rule", done, 0, None, hand)), dead, reap, left, kl); continue
                x = slots[pos][1] if pos < n else (words[pos - n][0] if pos - n != i and words[pos - n][1] == NONE else None)
                yield (slots, words, put(parts, i, ("rule", done, pos + 1, x if x in pair else None, hand)), dead, reap, left, kl); continue
            if done >= count: continue
            at = cur % n
            def to(pc, done=done, cur=cur, s=s, hand=hand, slots=slots, words=words):
                return (slots, words, put(parts, i, (pc, done, cur, s, hand)), dead, reap, left, kl)
            if pc == "load":
                s = slots[at]; want = 2 * (cur // n) + side
                if s[0] == want: yield to("intend", s=s)
                elif s[0] > want: yield to("load", cur=cur + 1)
                else: yield to("load", done=done + 1, s=None)
            elif pc == "intend": yield to("swap", words=put(words, i, (hand, s[1])))
            elif pc == "swap":
                if slots[at] != s: yield to("undo")
                else: yield to("settle", hand=s[1], slots=put(slots, at, (s[0] + 1, hand)))
            elif pc == "settle": yield to("load", done=done + 1, cur=cur + 1, s=None, words=put(words, i, (hand, NONE)))
            else: yield to("load", s=None, words=put(words, i, (hand, NONE)))
    while todo:
        S = todo.pop(); states += 1
        slots, words, parts, dead, reap, left, kl = S
        truth = [b for _, b in slots] + [q[4] for q in parts]
        if len(set(truth)) != n + p: return fail("a block in two places", S, trace)
        for k in dead:
            if words[k][1] == NONE and words[k][0] != parts[k][4]: return fail(f"wrong ruling on seat {k}", S, trace)
        nxt = []
        for t in moves(S): nxt.append(t)
        if kl:
            for i in range(p):
                if i not in dead and (parts[i][1] < roles[i][1] or parts[i][0] == "rule"):
                    nxt.append((slots, words, parts, dead | {i}, reap, left, kl - 1))
        for k in dead:
            if left:
                if rule in ("lock", "chain"): nxt.append((slots, words, put(parts, k, ("rule", 0, 0, None, parts[k][4])), dead - {k}, reap, left - 1, kl))
                elif words[k][1] == NONE:
                    nxt.append((slots, words, put(parts, k, ("load", max(0, roles[k][1] - 1), 0, None, words[k][0])), dead - {k}, reap, left - 1, kl))
        for r, (seat, w, pos, saw) in enumerate(reap):
            if seat is None:
                for k in dead:
                    if words[k][1] != NONE: nxt.append(S[:4] + (put(reap, r, (k, words[k], 0, None)), left, kl))
            elif saw is not None:
                orphan = w[1] if saw == w[0] else w[0]
                nw = put(words, seat, (orphan, NONE)) if words[seat] == w else words
                nxt.append((slots, nw, parts, dead, put(reap, r, R0), left, kl))
            elif pos == n + p: nxt.append(S[:4] + (put(reap, r, R0), left, kl))
            else:
                x = slots[pos][1] if pos < n else (words[pos - n][0] if pos - n != seat and words[pos - n][1] == NONE else None)
                nxt.append(S[:4] + (put(reap, r, (seat, w, pos + 1, x if x in w else None)), left, kl))
        if frozen:
            a = infer(slots, words, True); b = infer(slots, words, False)
            for k in dead:
                h, e = words[k]
                if e != NONE:
                    if h not in a and e not in a:
                        stuckA += 1
                        if exA is None: exA = (k, S)
                    if h not in b and e not in b:
                        stuckB += 1
                    # chains must also be right
                    if (h in b - {None}) and parts[k][4] == h and e not in b: return fail("inference wrong", S, trace)
        for t in nxt:
            if t not in par: par[t] = S; todo.append(t)
        if states >= limit: break
    print(f"rule={rule} N={n} {roles} deaths<={kills} births<={births} reapers={reapers}: {states} states"
          f"{' (cut)' if states >= limit else ', complete'}, no wrong ruling; {time.time()-began:.1f} s", flush=True)
    if frozen:
        print(f"   frozen: {stuckA} (state, dead seat) pairs not settleable by plain sightings, {stuckB} with chains")
        if exA: print("   e.g. dead seat", exA[0], "slots", exA[1][0], "words", exA[1][1], "truly in hand", [q[4] for q in exA[1][2]], "dead", set(exA[1][3]))

def fail(msg, S, trace):
    print("REFUTED:", msg)
    last = None
    for s in trace(S):
        line = f"  slots {s[0]} words {s[1]} pcs {[(q[0], q[4]) for q in s[2]]} dead {sorted(s[3])} reapers {s[4]}"
        if line != last: print(line)
        last = line
    return False

if __name__ == "__main__":
    P, C = 0, 1
    rule = sys.argv[sys.argv.index("--rule") + 1] if "--rule" in sys.argv else "free"
    fz = "--frozen" in sys.argv
    run(1, [(P, 1), (C, 1)], 2, rule=rule, frozen=fz)
    run(1, [(P, 2), (C, 2)], 2, rule=rule, frozen=fz, births=2)
    run(1, [(P, 2), (P, 1), (C, 2)], 2, rule=rule, frozen=fz, births=1)
    run(2, [(P, 2), (C, 2), (C, 1)], 2, rule=rule, frozen=fz, births=1)
    run(1, [(P, 1), (P, 1), (C, 1), (C, 1)], 3, rule=rule, frozen=fz, births=1, limit=1_000_000)
