#!/usr/bin/env python3
"""The exchange ring and its seat words under weak memory (view machine: C11 release/acquire/relaxed without load buffering).

Every location keeps its whole modification order; a thread's view says which message of each location it may not read
behind; a load may return ANY message not behind the view. CAS reads the newest. Seat-word stores are Relaxed.
Payload blocks are plain memory: each access must be ordered after every earlier access to that block, else it is a race.
A participant may be killed between any two steps; a newcomer (who holds the seat's lock, hence inherits the dead one's view:
that is the kernel's happens-before) rules by sightings as in crates/shm-ring/src/mpmc/reclaim.rs and then goes on as a participant.

usage: exchange_ra.py [cas=acqrel|acquire|release|relaxed] [load=acquire|relaxed] [fail=..] [intend=after|none] [kernel=hb|nohb]
"""
import sys, time
NONE = -1
class Bad(Exception): pass

def run(n, roles, kills, births, cas="acqrel", load="relaxed", kernel="hb", intend="before", limit=1_200_000, quiet=False):
    p = len(roles); nb = n + p; L = n + p + nb
    SL, W, B = 0, n, n + p
    acq, rel, lacq = cas in ("acqrel", "acquire"), cas in ("acqrel", "release"), load == "acquire"
    zero = (0,) * L
    hist = tuple([(((0, i), zero),) for i in range(n)] + [(((n + j, NONE), zero),) for j in range(p)] + [((None, zero),) for _ in range(nb)])
    # participant: pc, done, cursor, slot value seen, hand, view, aux
    parts = tuple(("fill" if r == "P" else "load", 0, 0, None, n + j, zero, None) for j, (r, _) in enumerate(roles))
    start = (hist, parts, frozenset(), kills, births, (), 0)  # sent ids in slot order, received count
    seen, todo, states, began = {start}, [start], 0, time.time()
    join = lambda a, b: tuple(map(max, a, b))
    def put(s, i, v): l = list(s); l[i] = v; return tuple(l)
    def push(hist, loc, val, mv): return put(hist, loc, hist[loc] + ((val, mv),))
    while todo:
        S = todo.pop(); states += 1
        hist, parts, dead, kl, br, sent, got = S
        truth = [hist[i][-1][0][1] for i in range(n)] + [q[4] for q in parts]
        if len(set(truth)) != nb: raise Bad("a block in two places")
        nxt = []
        for i in range(p):
            if i in dead: continue
            pc, done, cur, s, hand, view, aux = parts[i]; role, count = roles[i]; side = 0 if role == "P" else 1
            if done >= count: continue
            def go(pc, done=done, cur=cur, s=s, hand=hand, view=view, aux=aux, hist=hist, sent=sent, got=got):
                nxt.append((hist, put(parts, i, (pc, done, cur, s, hand, view, aux)), dead, kl, br, sent, got))
            def touch(b, val, view, hist):
                loc = B + b
                if view[loc] != len(hist[loc]) - 1: raise Bad(f"payload race on block {b}: {role} is not ordered after the last access")
                view = put(view, loc, len(hist[loc]))
                return push(hist, loc, val, zero), view
            if pc == "fill":
                h2, v2 = touch(hand, (i, done, len(hist[B + hand])), view, hist)
                go("load", view=v2, hist=h2)
            elif pc == "load":
                loc = SL + cur % n; want = 2 * (cur // n) + side
                for ts in range(view[loc], len(hist[loc])):
                    val, mv = hist[loc][ts]
                    v2 = put(view, loc, ts)
                    if lacq: v2 = join(v2, mv)
                    if val[0] == want: go("intend", s=(val, ts), view=v2)
                    elif val[0] > want: go("load", cur=cur + 1, view=v2)
                    else: go("fill" if role == "P" else "load", done=done + 1, s=None, view=v2)
            elif pc == "intend":
                loc = W + i; h2 = push(hist, loc, (hand, s[0][1]), zero)
                go("swap", view=put(view, loc, len(hist[loc])), hist=h2)
            elif pc == "swap":
                loc = SL + cur % n; last, mv = hist[loc][-1]
                if last != s[0]: go("undo"); continue
                v2 = join(view, mv) if acq else view
                v2 = put(v2, loc, len(hist[loc]))
                out = mv
                if rel: out = join(out, v2)
                out = put(out, loc, len(hist[loc]))
                h2 = push(hist, loc, (last[0] + 1, hand), out)
                if role == "P": go("settle", hand=last[1], view=v2, hist=h2, sent=sent + (hist[B + hand][-1][0],))
                else: go("settle", hand=last[1], view=v2, hist=h2, aux=sent[got], got=got + 1)
            elif pc in ("settle", "undo"):
                loc = W + i; h2 = push(hist, loc, (hand, NONE), zero); v2 = put(view, loc, len(hist[loc]))
                if pc == "undo": go("load", s=None, view=v2, hist=h2)
                elif role == "P": go("fill", done=done + 1, cur=cur + 1, s=None, view=v2, hist=h2)
                else: go("read", s=None, view=v2, hist=h2)
            elif pc == "read":
                if hist[B + hand][-1][0] != aux: raise Bad("wrong payload")
                h2, v2 = touch(hand, aux, view, hist)
                go("load", done=done + 1, cur=cur + 1, view=v2, hist=h2, aux=None)
            elif pc == "rule":  # newcomer; aux = (scan position, what it saw)
                pos, saw = aux; loc = W + i
                h, e = hist[loc][-1][0]
                if kernel == "hb" and view[loc] != len(hist[loc]) - 1: raise Bad("model: word not inherited")
                if e == NONE:
                    if h != hand: raise Bad("wrong ruling: the word names %d, in hand %d" % (h, hand))
                    go("fill" if role == "P" else "load", done=count - 1, cur=0, s=None, hand=h, aux=None); continue
                if saw is not None:
                    orphan = e if saw == h else h
                    if orphan != hand: raise Bad(f"wrong ruling: orphan {orphan}, truly {hand}")
                    go("rule", hist=push(hist, loc, (orphan, NONE), zero), view=put(view, loc, len(hist[loc])), aux=(0, None)); continue
                if pos == n + p: go("rule", aux=(0, None)); continue
                if pos < n:
                    for ts in range(view[pos], len(hist[pos])):
                        x = hist[pos][ts][0][1]; v2 = put(view, pos, ts)
                        if lacq: v2 = join(v2, hist[pos][ts][1])
                        go("rule", view=v2, aux=(pos + 1, x if x in (h, e) else None))
                else:
                    j = pos - n; loc2 = W + j
                    if j == i: go("rule", aux=(pos + 1, None)); continue
                    for ts in range(view[loc2], len(hist[loc2])):
                        x, ex = hist[loc2][ts][0]
                        go("rule", view=put(view, loc2, ts), aux=(pos + 1, x if ex == NONE and x in (h, e) else None))
            if kl and pc != "rule":
                nxt.append((hist, parts, dead | {i}, kl - 1, br, sent, got))
        if br:
            for k in dead:
                q = parts[k]
                v = q[5] if kernel == "hb" else zero
                nxt.append((hist, put(parts, k, ("rule", 0, 0, None, q[4], v, (0, None))), dead - {k}, kl, br - 1, sent, got))
        for t in nxt:
            if t not in seen: seen.add(t); todo.append(t)
        if states >= limit: break
    if not quiet: print(f"cas={cas} slot load={load} kernel={kernel} N={n} {roles} kills<={kills}: {states} states{' (cut)' if states >= limit else ', complete'} ok {time.time()-began:.1f} s", flush=True)

CFG = [(1, [("P", 1), ("C", 1)], 1, 1), (1, [("P", 2), ("C", 2)], 1, 1), (1, [("P", 2), ("C", 1), ("C", 1)], 1, 1), (1, [("P", 1), ("P", 1), ("C", 2)], 1, 1), (2, [("P", 3), ("C", 2)], 1, 1)]
if __name__ == "__main__":
    for cas in ("acqrel", "acquire", "release", "relaxed"):
        for load in ("relaxed", "acquire"):
            for kernel in ("hb", "nohb"):
                if kernel == "nohb" and cas != "acqrel": continue
                res = "passes"; t = time.time()
                for c in CFG:
                    try: run(*c, cas=cas, load=load, kernel=kernel, quiet=True, limit=int(sys.argv[1]) if len(sys.argv)>1 else 60_000)
                    except Bad as e: res = f"FAILS N={c[0]} {c[1]}: {e}"; break
                print(f"cas={cas:8} slot load={load:8} death proof={'happens-before' if kernel=='hb' else 'none'}: {res}  ({time.time()-t:.0f} s)", flush=True)
