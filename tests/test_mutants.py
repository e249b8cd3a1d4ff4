r"""The mutation maker on a small source; `python -m tests.mutants` is run by hand."""
import pytest
from mutants import ACCEPTED, ROOT, mutants, read_accepted, sample, targets

SOURCE = '''
def f(x, y=2., deep=True):
    r"""Not 3 + 3: this is text."""
    if x < 1:
        raise ValueError("not 4 + 4 either")
    z = (x.detach() + y) * -x
    z += 1
    print(z)
    return g(z, é, scale=5)
class A:
    width: int = 7
    def __repr__(self):
        return 'A' + 'B'
'''


def test_makes_one_small_change_at_a_time():
    found = mutants(SOURCE)
    assert [(m.line, m.change) for m in found] == [
        (2, '2. -> 4.0'), (2, 'True -> False'), (4, 'x < 1 -> (not (x < 1))'),
        (4, 'x < 1 -> (x <= 1)'), (4, '1 -> 2'),
        (6, '(x.detach() + y) * -x -> ((x.detach() + y) / -x)'),
        (6, 'x.detach() + y -> (x.detach() - y)'), (6, 'x.detach() -> (x)'), (6, '-x -> (x)'),
        (7, 'z += 1 -> pass'), (7, '1 -> 2'), (8, 'print(z) -> pass'),
        (9, 'g(z, é, scale=5) -> (z)'), (9, 'g(z, é, scale=5) -> g(z, é)'),
        (9, 'g(z, é, scale=5) -> g(z, scale=5)'), (9, '5 -> 6'), (11, '7 -> 8')]
    for mutant in found:
        compile(mutant.source, 'mutant', 'exec')
        before, after = SOURCE.splitlines(), mutant.source.splitlines()
        assert [k for k, (a, b) in enumerate(zip(before, after, strict=True), 1) if a != b] == [
            mutant.line]
        assert before[mutant.line - 1].strip() == mutant.text
    assert len({m.source for m in found}) == len(found)


def test_a_sample_is_the_same_every_time_and_of_every_kind():
    found = mutants(SOURCE)
    one, two = (sample(list(found), 9, 'a') for _ in range(2))
    assert one == two and len(one) == 9 and set(one) < set(found)
    assert {m.kind for m in one} == {m.kind for m in found}
    assert sample(found, None, 'a') == sample(found, 99, 'a') == found


def test_modules_and_their_tests():
    assert targets(['methods/accf']) == {'pyg_advcf/methods/accf.py': 'tests/methods/test_accf.py'}
    assert targets(['bpr', 'no_such_module']) == {
        'pyg_advcf/criteria/bpr.py': 'tests/criteria/test_bpr.py'}
    assert len(targets(None)) > 40


def test_accepted_mutants_are_still_possible():
    accepted = read_accepted(ACCEPTED.read_text())
    for module in {key[0] for key in accepted}:
        found = {(module, m.text, m.change) for m in mutants((ROOT / module).read_text())}
        assert {key for key in accepted if key[0] == module} <= found
    assert read_accepted('# text\n\na.py | x + 1 | x + 1 -> (x - 1) | same\n') == {
        ('a.py', 'x + 1', 'x + 1 -> (x - 1)'): 'same'}
    with pytest.raises(ValueError, match='line 1 of the accepted mutants'):
        read_accepted('a.py | x + 1 | no reason')
