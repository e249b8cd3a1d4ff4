r"""A small, fixed budget of every campaign; ``python -m benchmarks fuzz`` runs them at length."""
import itertools
import os
import signal
import time
from collections import Counter

from hypothesis import strategies as st

from fuzz.call import CHOICE, becomes, corrupted, fine, is_clear, outcome_of, turns
from fuzz.run import OWN_PROCESSES, Worker, campaigns, run, run_all, shortened
from pyg_advcf._checks import check_count

CALLS_EACH = 20


def test_every_campaign_has_no_call_that_is_silent_obscure_or_crashes():
    worker, bad, total = Worker(), [], Counter()
    try:
        for name in sorted(set(campaigns()) - set(OWN_PROCESSES)):
            found = run(name, CALLS_EACH, 7, worker)
            bad += [(name, example) for example in found['examples']]
            assert sum(found['counts'].values()) == CALLS_EACH
            total.update(found['counts'])
    finally:
        worker.close()
    assert bad == []
    assert total['correct'] > 40 and total['clear'] > 100


# Calls of this module for the worker, to which it is a module like the campaigns.
_PLACES = itertools.count()


@st.composite
def _calls(draw):
    number, place = draw(st.integers(0, 999)), next(_PLACES)

    def call(given):
        if place == 3:
            os.kill(os.getpid(), signal.SIGSEGV)
        if place == 5:
            time.sleep(60)
        return check_count('count', given['count'])

    wrong = [] if place in (3, 5) else [
        becomes('count', 'negative', -1), turns('count', 'a text', str)]
    return corrupted('check_count', call, {'count': 1 + number}, wrong,
                     lambda found: None if found == 1 + number else f'{found}')


CALLS = _calls()


def test_the_calls_go_on_after_a_crash_and_a_hang_and_are_the_same_each_time():
    worker = Worker(timeout=3., warm=False)
    try:
        found, again = (list(worker.calls('fuzz.test_campaigns', 20, 3)) for _ in range(2))
    finally:
        worker.close()
    assert [row[0] for row in found] == list(range(20))
    assert [row[3:] for row in found if row[0] in (3, 5)] == [
        ('signal', 'SIGSEGV'), ('hang', 'no answer in 3 s')]
    assert {row[3] for row in found if row[0] not in (3, 5)} == {'correct', 'clear'}
    assert found == again


def made(do, refused=False, wrong='', check=fine):
    from fuzz.call import Call
    return outcome_of(Call('f', do, check, wrong, refused))


def test_outcomes():
    def raises(error):
        def do():
            raise error
        return do

    assert made(lambda: 1) == ('correct', '')
    assert made(lambda: 1, check=lambda found: 'off') == ('silent', 'off')
    assert made(lambda: 1, check=lambda found: found[0])[0] == 'silent'
    assert made(lambda: 1, refused=True) == ('silent', 'accepted')
    assert made(lambda: 1, refused=None) == ('correct', '')
    assert made(lambda: check_count('k', -1), refused=True) == ('clear', '')
    assert made(lambda: check_count('k', -1), refused=None) == ('clear', '')
    # Of right arguments, any error is one too many.
    assert made(lambda: check_count('k', -1))[0] == 'obscure'
    assert made(raises(TypeError("'k' is a text")), refused=True)[0] == 'obscure'
    # Not raised by the library.
    assert made(raises(ValueError("'k' is -1")), refused=True)[0] == 'obscure'


def test_a_clear_error_quotes_what_it_is_about():
    def error_of(message):
        try:
            file = check_count.__code__.co_filename  # As if raised there.
            exec(compile(f'raise ValueError({message!r})', file, 'exec'))
        except ValueError as error:
            return error

    assert is_clear(error_of("'k' is -1")) and is_clear(error_of("the file '/tmp/x' is damaged"))
    assert not is_clear(error_of('something is wrong')) and not is_clear(error_of("'"))


def test_corruptions_change_a_copy_and_say_what_they_did():
    CHOICE.seed(0)
    given, seen = {'a': 1, 'b': 2}, set()
    wrong = [becomes('a', 'none', None), turns('b', 'more', lambda b: b + 1, None)]
    for _ in range(200):
        call = corrupted('f', lambda given: given, given, wrong)
        seen.add((call.wrong, call.refused, tuple(call.do().values())))
    assert given == {'a': 1, 'b': 2}
    assert seen == {('', False, (1, 2)), ('a: none', True, (None, 2)), ('b: more', None, (1, 3)),
                    ('a: none; b: more', True, (None, 3)), ('b: more; a: none', True, (None, 3))}


def test_a_record_counts_rounds_and_shows_the_worst_first(monkeypatch):
    def fake(name, calls, seed, worker):
        found = [('f', 'obscure'), ('g', 'silent'), ('f', 'obscure')]
        return {'counts': {'correct': calls - 3, 'obscure': 2, 'silent': 1}, 'examples': [
            {'function': f, 'corruption': 'x', 'outcome': o, 'detail': '', 'seed': seed, 'call': n}
            for n, (f, o) in enumerate(found)]}

    monkeypatch.setattr('fuzz.run.run', fake)
    *_, last = run_all(['frame', 'graphs'], seed=2, rounds=3)
    assert last['rounds'] == 3
    counts = last['campaigns']['frame']['counts']
    assert (counts['correct'], counts['silent'], counts['hang']) == (3 * 197, 3, 0)
    short = shortened(last['campaigns']['frame']['examples'])
    assert [(e['function'], e['times'], e['seed']) for e in short] == [
        ('g', 3, 2000), ('f', 6, 2000)]
    assert list(run_all(['frame'], minutes=0.)) == []
