r"""Bytes that the steps of the library move: tables and ids once a use, and without any cache."""
import numpy as np

FLOAT, ID, EDGE = 4, 8, 4  # Bytes of a number, of a sampled id, of an end of an edge.


class Traffic:
    r"""At least, and with a row for every edge and pair: ``[least, gathered]``."""
    def __init__(self, users, items, edges, dim, layers, batch):
        self.items, self.layers, self.batch, self.row = items, layers, batch, dim * FLOAT
        self.table, self.ids = (users + items) * self.row, EDGE * edges
        self.spmm = self.ids + np.array([self.table, (edges + users) * self.row])
        self.ranking = np.full(2, 2 * users * items * FLOAT + self.table)
        # Forward and backward, both directions a layer.
        self.propagation = 2 * layers * (2 * self.ids + np.array(
            [2 * self.table, 2 * edges * self.row + self.table]))

    def scores(self, num_neg):
        r"""Forward and backward of sampled scores: products, sums by user, sums by item."""
        pairs = self.batch * (num_neg + 1)
        return 3 * pairs * (ID + FLOAT) + self.row * np.array(
            [3 * self.items, 3 * pairs + self.items])

    def step(self, num_neg, backbone):
        r"""With Adam: a gradient, a parameter and two moments, read and written."""
        return (self.scores(num_neg) + 8 * self.table
                + (self.propagation if backbone == 'LightGCN' else 0))
