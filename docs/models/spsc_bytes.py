#!/usr/bin/env python3
"""Explicit-state check of the in-band SPSC byte ring with kills and takeovers (see ../crash.md and crates/shm-ring/src/spsc/bytes.rs).

Unit: one 8-byte word. A record is a header word and S-1 payload words. Every shared store is one step. The producer
and the consumer may each be killed between any two steps; a successor then takes the seat (the kernel's proof of death
means that every store the dead one executed is visible to it). A producer may also drop a reservation half-way.

--weak adds store buffers: stores drain in any order, except that one location keeps its order and a Release store
waits for everything before it (later relaxed stores MAY overtake a Release store, as in C11/ARM). A killed
participant's buffer drains before its successor starts; the other side may look in between.

Checked in every state
  stale      a header the consumer reads is the oldest message not yet handed out; every payload word is its own
  overwrite  no store of the producer lands on bytes that the consumer has not released
  wild       scans are bounded; head <= cursor <= end of what is published (in memory, when buffers are empty)
Checked from every state (with empty buffers), by running the successors alone, and the living alone:
  nothing published is lost or repeated; an empty ring takes a record of C/2 words at any position.

--break X plants one bug; the run must fail.  --list names them.
"""
import sys, time

PAD, HDR, DATA, JUNK = 1 << 20, 2 << 20, 3 << 20, 4 << 20
def hdr(i, s): return HDR + i * 32 + s
def pay(i, k): return DATA + i * 32 + k
def size(w): return w & 31
def ident(w): return (w & 0xFFFFF) >> 5

BREAKS = {
 "no-zero": "do not zero the next header", "zero-late": "zero the next header after the header is stored",
 "no-extra": "free-space rule without the 8 bytes of the next header", "tail-first": "tail stored before the header",
 "no-rescan": "successor trusts tail", "rescan-one": "successor rescans at most one record (with batches and pads)",
 "pad-alone": "pad published first, then the record at 0, without zeroing word 0 before the pad",
 "first-early": "in a batch the first header is stored before the later ones",
 "no-final-zero": "in a batch only the gaps are zeroed, not the word after the last record",
 "start-at-head": "successor consumer starts at head", "no-head-attach": "successor consumer does not store head = cursor",
 "no-head-empty": "consumer may answer EMPTY with head lagging", "half-payload": "promise C/2 words of PAYLOAD instead of record",
 "head-ge-tail": "treat head > tail as corruption", "late-cursor": "at most once, but cursor stored after the payload was handed out",
 "head-first": "at least once: head stored before cursor", "early-head": "head stored at hand-out, before the payload is read",
 "relaxed-header": "(weak) header store Relaxed", "relaxed-tail": "(weak) tail store Relaxed: expected to PASS",
 "relaxed-cursor-alo": "(weak) at least once: head store Relaxed after cursor store",
 "lazy-release": "a consumer that has released all there is may leave head behind (and never come back)",
 "rescan-stores-early": "successor stores tail = first scanned record before it has scanned all: expected to PASS",
}

class Bad(Exception): pass

def run(C, menu, attempts, kills, mode="amo", weak=False, bug=None, drop=True, limit=3_000_000, quiet=False):
    HALF = C // 2 + (1 if bug == "half-payload" else 0)
    bound = C + 2
    # shared: mem, tail, head, cursor
    # producer: (pc, pos, chead, prog, ghost ids in this prog)   consumer: (pc, c, S, k, id)
    start = ((0,) * C, 0, 0, 0, ("idle", 0, 0, (), ()), ("poll", 0, 0, 0, -1), (), 0, 0, kills, (), (), 0)
    # ghosts: published ids, handed (count, amo: cursor stored / alo: acked), attempts used, kills left, pbuf, cbuf, released

    def layout(pos, sizes):
        """records of one publish: [(at, kind, S)], end"""
        out, p = [], pos
        for s in sizes:
            rem = C - p % C
            if rem < s:
                out.append((p, "pad", rem)); p += rem
            out.append((p, "msg", s)); p += s
        return out, p

    def program(pos, sizes, first_id):
        recs, end = layout(pos, sizes)
        body, heads, i, ids = [], [], first_id, []
        for at, kind, s in recs:
            if kind == "pad":
                heads.append((at, PAD + s))
            else:
                for k in range(1, s): body.append((at + k, pay(i, k), False))
                heads.append((at, hdr(i, s))); ids.append(i); i += 1
        rel = bug != "relaxed-header"
        zero = [] if bug == "no-zero" else [(end, 0, False)]
        tail = ("tail", end, bug != "relaxed-tail")
        first = ("pub", heads[0][0], heads[0][1], rel)
        later = [(a, w, False) for a, w in heads[1:]]
        if bug == "no-final-zero" and len(sizes) > 1: zero = []
        if bug == "pad-alone" and recs[0][1] == "pad":
            # pad is published on its own; the record follows
            prog = body + zero + [("pubpad", heads[0][0], heads[0][1], rel), ("pub", heads[1][0], heads[1][1], rel)] + \
                   [(a, w, False) for a, w in heads[2:]] + [tail]
        elif bug == "zero-late": prog = body + later + [first] + zero + [tail]
        elif bug == "tail-first": prog = body + later + zero + [tail, first]
        elif bug == "first-early": prog = body + zero + [first] + later + [tail]
        else: prog = body + later + zero + [first, tail]
        return tuple(prog), tuple(ids), end

    def fits(pos, chead, sizes):
        _, end = layout(pos, sizes)
        return end - pos + (0 if bug == "no-extra" else 1) <= C - (pos - chead)

    # --- memory with store buffers -------------------------------------------------------------------------------
    def apply(st, loc, val):
        mem, tail, head, cursor = st
        if loc == "tail": return (mem, val, head, cursor)
        if loc == "head": return (mem, tail, val, cursor)
        if loc == "cursor": return (mem, tail, head, val)
        m = list(mem); m[loc % C] = val
        return (tuple(m), tail, head, cursor)

    def read(sh, buf, loc):
        key = loc if isinstance(loc, str) else loc % C
        for l, v, _ in reversed(buf):
            if l == key: return v
        return {"tail": sh[1], "head": sh[2], "cursor": sh[3]}[loc] if isinstance(loc, str) else sh[0][loc % C]

    def store(sh, buf, loc, val, release):
        key = loc if isinstance(loc, str) else loc % C
        if not weak: return apply(sh, key, val), buf
        return sh, buf + ((key, val, release),)

    def drains(sh, buf):
        out = []
        for n, (l, v, rel) in enumerate(buf):
            if rel and n: continue
            if any(b[0] == l for b in buf[:n]): continue
            out.append((apply(sh, l, v), buf[:n] + buf[n + 1:]))
        return out

    # --- steps ----------------------------------------------------------------------------------------------------
    def psteps(S, pick=None):
        mem, tail, head, cursor, P, K, pub, handed, tries, left, pb, cb, rel = S
        sh = (mem, tail, head, cursor); pc, pos, ch, prog, ids = P
        def mk(P, sh=sh, pub=pub, tries=tries, pb=pb): return sh + (P, K, pub, handed, tries, left, pb, cb, rel)
        if pc == "attach":
            if pb: return []
            if bug == "head-ge-tail" and head > tail: raise Bad("head > tail in memory, legally: killed after the header, before tail")
            return [mk(("scan", tail, 0, (), ()))]
        if pc == "scan":
            w = mem[pos % C]
            if bug == "no-rescan": w = 0
            if w and ch < (1 if bug == "rescan-one" else bound):
                if w >= DATA: raise Bad("stale: successor scans payload as a header")
                sh2 = sh
                if bug == "rescan-stores-early": sh2, pb = store(sh, pb, "tail", pos + size(w), True)
                return [mk(("scan", pos + size(w), ch + 1, (), ()), sh=sh2, pb=pb)]
            if w and bug != "rescan-one": raise Bad("wild: endless scan")
            sh2, pb2 = store(sh, pb, "tail", pos, True)
            return [mk(("idle", pos, head, (), ()), sh=sh2, pb=pb2)]
        if pc == "idle":
            out = []
            for sizes in ([pick] if pick else menu):
                if tries + len(sizes) > attempts and not pick: continue
                c = ch
                if not fits(pos, c, sizes): c = head
                if fits(pos, c, sizes):
                    prog, ids, _ = program(pos, sizes, tries)
                    out.append(mk(("run", pos, c, prog, ids), tries=tries + len(sizes)))
                elif pick: raise Bad("liveness: an empty ring is FULL")
            return out
        st, rest = prog[0], prog[1:]
        out = []
        if st[0] in ("pub", "pubpad"):
            at, w, r = st[1:]
            sh2, pb2 = store(sh, pb, at, w, r)
            npub = pub + ids if st[0] == "pub" else pub
            out.append(mk(("run", pos, ch, rest, ids), sh=sh2, pb=pb2, pub=npub))
        elif st[0] == "tail":
            sh2, pb2 = store(sh, pb, "tail", st[1], st[2])
            end = st[1]
            if rest: out.append(mk(("run", pos, ch, rest, ids), sh=sh2, pb=pb2))
            else: out.append(mk(("idle", end, ch, (), ()), sh=sh2, pb=pb2))
        else:
            at, w, r = st
            sh2, pb2 = store(sh, pb, at, w, r)
            nP = ("run", pos, ch, rest, ids) if rest else ("idle", pos, ch, (), ())
            out.append(mk(nP, sh=sh2, pb=pb2))
        if st[0] not in ("tail",):
            a = st[1] if st[0] in ("pub", "pubpad") else st[0]
            if a >= rel + C: raise Bad(f"overwrite: store at {a}, consumer has released only {rel}")
        if bug == "tail-first" and not rest and st[0] == "pub":
            t = out[0]; out = [t[:4] + (("idle", t[1] if not weak else max([v for l, v, _ in t[10] if l == "tail"] + [t[1]]), ch, (), ()),) + t[5:]]
        if bug == "zero-late" and not rest: pass
        # drop the reservation: only before anything is published
        if drop and not pick and any(x[0] == "pub" for x in prog) and not any(x[0] == "tail" for x in prog[:1]) and bug not in ("tail-first",):
            if bug != "pad-alone" or any(x[0] == "pubpad" for x in prog) or not any(x[0] == "pad" for x in prog):
                if not (bug == "pad-alone" and len([x for x in prog if x[0] == "pubpad"]) == 0 and pos % C and prog[0][0] == "pub"):
                    out.append(mk(("idle", pos, ch, (), ())))
        return out

    def csteps(S):
        mem, tail, head, cursor, P, K, pub, handed, tries, left, pb, cb, rel = S
        sh = (mem, tail, head, cursor); pc, c, s, k, i = K
        def mk(K, sh=sh, handed=handed, cb=cb, rel=rel): return sh + (P, K, pub, handed, tries, left, pb, cb, rel)
        if pc == "attach":
            if cb: return []
            c = head if bug == "start-at-head" else cursor
            if bug == "no-head-attach": return [mk(("poll", c, 0, 0, -1), rel=max(rel, c))]
            sh2, cb2 = store(sh, cb, "head", c, True)
            return [mk(("poll", c, 0, 0, -1), sh=sh2, cb=cb2, rel=max(rel, c))]
        if pc == "poll":
            w = mem[c % C]
            if w == 0:
                if bug in ("no-head-empty", "no-head-attach") or read(sh, cb, "head") == c: return []
                sh2, cb2 = store(sh, cb, "head", c, True)
                return [mk(("poll", c, 0, 0, -1), sh=sh2, cb=cb2, rel=max(rel, c))]
            if w >= DATA: raise Bad("stale: payload read as a header")
            if w < HDR:
                s = size(w)
                if (c + s) % C: raise Bad("stale: a pad that does not end at the end")
                return [mk(("poll", c + s, 0, 0, -1))]
            i, s = ident(w), size(w)
            if handed >= len(pub) or pub[handed] != i: raise Bad(f"stale: read message {i}, expected {pub[handed:handed+1]}")
            if c % C + s > C: raise Bad("stale: record crosses the end")
            if mode == "alo" or bug == "late-cursor": return [mk(("read", c, s, 1, i))]
            return [mk(("cursor", c, s, 1, i))]
        if pc == "cursor":  # at most once: from here on the message is handed out
            sh2, cb2 = store(sh, cb, "cursor", c + s, False)
            if bug == "early-head":
                sh2, cb2 = store(sh2, cb2, "head", c + s, True)
            return [mk(("read", c, s, 1, i), sh=sh2, cb=cb2, handed=handed + 1)]
        if pc == "read":
            if k < s:
                if mem[(c + k) % C] != pay(i, k): raise Bad(f"overwrite: payload of {i} torn")
                return [mk(("read", c, s, k + 1, i))]
            if bug == "late-cursor":
                return [mk(("cursor2", c, s, 1, i))]
            if mode == "amo": return [mk(("rel", c + s, 0, 0, i), rel=max(rel, c + s))]
            if bug == "head-first":
                sh2, cb2 = store(sh, cb, "head", c + s, True)
                return [mk(("ack", c, s, 0, i), sh=sh2, cb=cb2, rel=max(rel, c + s))]
            return [mk(("ack", c, s, 0, i))]
        if pc == "cursor2":  # planted: the user has the message, the cursor follows
            sh2, cb2 = store(sh, cb, "cursor", c + s, False)
            return [mk(("rel", c + s, 0, 0, i), sh=sh2, cb=cb2, handed=handed + 1, rel=max(rel, c + s))]
        if pc == "ack":  # at least once: released, so acknowledged
            sh2, cb2 = store(sh, cb, "cursor", c + s, False)
            return [mk(("rel", c + s, 0, 0, i), sh=sh2, cb=cb2, handed=handed + 1, rel=max(rel, c + s))]
        if pc == "rel":  # head now, or later
            sh2, cb2 = store(sh, cb, "head", c, bug != "relaxed-cursor-alo")
            now = mk(("poll", c, 0, 0, -1), sh=sh2, cb=cb2)
            if mem[c % C] == 0 and bug != "lazy-release": return [now]   # nothing more is there: do not keep bytes back
            return [now, mk(("poll", c, 0, 0, -1))]

    def kill(S, who):
        mem, tail, head, cursor, P, K, pub, handed, tries, left, pb, cb, rel = S
        if who == 0:
            return S[:4] + (("attach", 0, 0, (), ()),) + S[5:9] + (left - 1,) + S[10:]
        if bug == "late-cursor" and K[0] == "cursor2": raise Bad("repeated: handed out, and the successor hands it out again")
        # amo: the message in hand (cursor stored) is gone; its bytes are free for the successor to release
        return S[:5] + (("attach", 0, 0, 0, -1),) + S[6:9] + (left - 1,) + S[10:]

    def flush(S):
        S = list(S)
        for b in (10, 11):
            for l, v, _ in S[b]:
                S[:4] = apply(tuple(S[:4]), l, v)
            S[b] = ()
        return tuple(S)

    def drain(S):
        n = 0
        while True:
            nx = csteps(S)
            if not nx: return flush(S)
            S = flush(nx[-1] if S[5][0] == "rel" else nx[0]); n += 1   # laziest head
            if n > 40 * C: raise Bad("liveness: consumer never finishes")

    def settle(S):
        """consumer alone drains; producer alone finishes; an empty ring takes C/2; all of it arrives"""
        S = flush(S)
        base = S[7] if mode == "amo" else None
        n = 0
        while S[4][0] != "idle":
            nx = psteps(S)
            if not nx: break
            S = flush(nx[0]); n += 1
            if n > 40 * C: raise Bad("liveness: producer never finishes")
        S = drain(S)
        if S[7] != len(S[6]): raise Bad(f"lost: published {S[6]}, handed out {S[7]}")
        if S[5][0] == "poll" and S[4][0] == "idle":
            S = S[:4] + S[4:]
            T = psteps(S, pick=(HALF,))[0]
            while T[4][0] != "idle": T = flush(psteps(T, pick=(HALF,))[0])
            T = drain(T)
            if T[7] != len(T[6]): raise Bad("lost: a message sent to an empty ring")

    seen, todo, states, began = {start}, [start], 0, time.time()
    settled = set()
    while todo:
        S = todo.pop(); states += 1
        nxt = psteps(S) + csteps(S)
        if S[9]:
            if S[4][0] != "attach": nxt.append(kill(S, 0))
            if S[5][0] != "attach": nxt.append(kill(S, 1))
        if weak:
            for sh, b in drains(S[:4], S[10]): nxt.append(sh + S[4:10] + (b, S[11], S[12]))
            for sh, b in drains(S[:4], S[11]): nxt.append(sh + S[4:11] + (b, S[12]))
        key = S
        if not S[10] and not S[11]:
            if S[5][0] == "poll" and S[4][0] == "idle" and S[7] == len(S[6]) and S[2] != S[5][1] and bug not in ("no-head-attach",):
                raise Bad("withheld: all is released, head lags, and the consumer may never call again")
            if S[2] > S[3]: raise Bad(f"wild: head {S[2]} ahead of cursor {S[3]} in memory")
            settle(S)
            settle(kill(kill(S, 0), 1)) if not (bug == "late-cursor" and S[5][0] == "cursor2") else None
        for t in nxt:
            if t not in seen: seen.add(t); todo.append(t)
        if states >= limit: break
    if not quiet:
        print(f"C={C} words menu={menu} sends<={attempts} kills<={kills} {mode}{' weak' if weak else ''}: {states} states"
              f"{' (cut)' if states >= limit else ', complete'}, {time.time() - began:.1f} s", flush=True)
    return states

STANDARD = [
    dict(C=4, menu=[(1,), (2,)], attempts=5, kills=2),
    dict(C=4, menu=[(1,), (2,), (1, 1), (2, 1)], attempts=4, kills=1),
    dict(C=4, menu=[(1,), (2,)], attempts=4, kills=2, mode="alo"),
    dict(C=8, menu=[(1,), (3,), (4,)], attempts=4, kills=1),
    dict(C=8, menu=[(2, 1), (3, 2), (4,)], attempts=5, kills=1),
    dict(C=8, menu=[(3,), (4,)], attempts=4, kills=2, mode="alo"),
    dict(C=4, menu=[(1,), (2,)], attempts=3, kills=1, weak=True),
    dict(C=4, menu=[(1,), (2,)], attempts=3, kills=1, weak=True, mode="alo"),
    dict(C=4, menu=[(2,), (1, 1)], attempts=4, kills=1, weak=True, drop=False),
]

if __name__ == "__main__":
    if sys.argv[1:2] == ["--list"]:
        for b, t in BREAKS.items(): print(f"{b:22} {t}")
    elif sys.argv[1:2] == ["--all-breaks"]:
        for b, t in BREAKS.items():
            found = None
            for cfg in STANDARD:
                try: run(**cfg, bug=b, quiet=True, limit=250_000)
                except Bad as e: found = (cfg, e); break
            print(f"{b:22} {'CAUGHT  ' + str(found[1]) + '   in C=%d %s%s' % (found[0]['C'], found[0].get('mode', 'amo'), ' weak' if found[0].get('weak') else '') if found else 'not caught'}", flush=True)
    else:
        bug = sys.argv[2] if sys.argv[1:2] == ["--break"] else None
        for cfg in STANDARD: run(**cfg, bug=bug)
