r"""The campaign of the operations, see :mod:`fuzz.ops_campaign`."""
