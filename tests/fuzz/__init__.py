r"""The campaign of wrong and random calls: ``python -m benchmarks fuzz``.

A module per campaign. Each has ``CALLS``, a strategy of :class:`fuzz.call.Call`, or, where it needs
processes of its own, ``run(calls, seed)``.
"""
