from fuzz import flips


def test_every_flip_is_a_clear_error():
    found = flips.run(25, seed=3)
    assert found['examples'] == []
    assert {name: sum(counts[o] for o in ('harmless', 'clear'))
            for name, counts in found['counts'].items()} == {'checkpoint': 25, 'processed data': 25}


def test_other_content_and_other_errors_are_told_of(tmp_path):
    path = tmp_path / 'x.pt'

    def unclear(path):
        raise ValueError(f"'{path}' is damaged")  # But not raised by the library.

    def clear(path):
        return flips.train(path)  # There is something, but no checkpoint.

    path.write_bytes(b'x')
    assert flips.outcome_of(lambda path: {'a': 1}, path, {'a': 1}) == ('harmless', '')
    assert flips.outcome_of(lambda path: {'a': 2}, path, {'a': 1})[0] == 'silent'
    assert flips.outcome_of(unclear, path, None)[0] == 'obscure'
    assert flips.outcome_of(clear, path, None) == ('clear', '')
    assert flips.outcome_of(lambda path: clear(path), tmp_path / 'y.pt', None)[0] == 'silent'
