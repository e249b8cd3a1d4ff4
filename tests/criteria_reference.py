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
