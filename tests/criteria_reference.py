r"""Naive float64 loops: the oracle of every criterion."""
import math


def bpr(pos, neg):
    return [sum(math.log1p(math.exp(j - i)) for j in row) / len(row) for i, row in zip(pos, neg)]


def bce(pos, neg, weight=1.):
    return [math.log1p(math.exp(-i)) + weight * sum(math.log1p(math.exp(j)) for j in row) / len(row)
            for i, row in zip(pos, neg)]


def infonce(pos, neg):
    return [-math.log(math.exp(i) / (math.exp(i) + sum(math.exp(j) for j in row)))
            for i, row in zip(pos, neg)]


def advinfonce(pos, neg, raw, k):
    losses = []
    for i, row, g in zip(pos, neg, raw):
        total = sum(math.exp(v) for v in g)
        delta = [math.log(len(g) * math.exp(v) / total) for v in g]
        hard = k * sum(math.exp(d) * math.exp(j) for d, j in zip(delta, row))
        losses.append(-math.log(math.exp(i) / (math.exp(i) + hard)))
    return losses


def hinge(pos, neg, margin):
    return [sum(max(0., margin - i + j) for j in row) / len(row) for i, row in zip(pos, neg)]


def warp(pos, neg, num_items, margin):
    losses = []
    for i, row in zip(pos, neg):
        loss = 0.
        for q, j in enumerate(row, 1):
            if j > i - margin:
                rank = (num_items - 1) // q
                loss = sum(1 / k for k in range(1, rank + 1)) * max(0., margin - i + j)
                break
        losses.append(loss)
    return losses


def dcl(pos, neg):
    return [-math.log(math.exp(i) / sum(math.exp(j) for j in row)) for i, row in zip(pos, neg)]


def infol1o(pos, neg):
    return [-math.log(math.exp(i) / (sum(math.exp(j) for j in row) / len(row)))
            for i, row in zip(pos, neg)]


def ccl(pos, neg, weight, margin):
    return [1 - i + weight / len(row) * sum(max(0., j - margin) for j in row)
            for i, row in zip(pos, neg)]


def by_user(pos, neg, user):
    sets = {}
    for i, row, u in zip(pos, neg, user):
        positives, negatives = sets.setdefault(u, ([], []))
        positives.append(i)
        negatives.extend(row)
    return sets


def supcon(pos, neg, user):
    return {u: -sum(math.log(math.exp(i) / sum(math.exp(a) for a in positives + negatives))
                    for i in positives) / len(positives)
            for u, (positives, negatives) in by_user(pos, neg, user).items()}


def bsl(pos, neg, user, pos_temperature, neg_temperature):
    def smooth_mean(scores, t):
        return t * math.log(sum(math.exp(s / t) for s in scores) / len(scores))

    return {u: smooth_mean(negatives, neg_temperature) - smooth_mean(positives, pos_temperature)
            for u, (positives, negatives) in by_user(pos, neg, user).items()}


def bc(pos, neg, margin, temperature):
    shifted = [math.cos(min(math.acos(c) + m, math.pi)) for c, m in zip(pos, margin)]
    return infonce([c / temperature for c in shifted],
                   [[c / temperature for c in row] for row in neg])


def adaptau(pos, neg, base, temperature):
    return [-i / base + math.log(sum(math.exp(j / t) for j in row))
            for i, row, t in zip(pos, neg, temperature)]
