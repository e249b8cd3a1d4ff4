r"""Campaigns that look for crashes, wrong results and lost work, run by hand at length."""
