from ipy_autorestart.decide.change import Broken, Change, Found, Kind, Unfinished
from ipy_autorestart.decide.guard import Likeness
from ipy_autorestart.decide.use import Difference, Use, sort_out

MODIFIED = Change("/src/a.py", Kind.MODIFIED)
ADDED = Change("/src/new.py", Kind.ADDED)
BROKEN = Broken("/src/a.py", "invalid syntax", 1)


def test_before_the_first_report_everything_counts():
    assert sort_out([Difference(MODIFIED), Difference(ADDED)], Use()) == Found(changes=(MODIFIED, ADDED))


def test_change_to_a_file_that_was_read_counts():
    assert sort_out([Difference(MODIFIED)], Use(read=frozenset({"/src/a.py"}))).changes == (MODIFIED,)


def test_change_to_a_file_that_was_read_through_a_symlink_counts():
    difference = Difference(MODIFIED, real="/real/a.py")

    assert sort_out([difference], Use(read=frozenset({"/real/a.py"}))).changes == (MODIFIED,)


def test_change_to_a_file_that_was_not_read_is_only_told():
    deleted = Change("/src/b.py", Kind.DELETED)
    differences = [Difference(MODIFIED), Difference(deleted)]

    assert sort_out(differences, Use(read=frozenset())) == Found(unused=(MODIFIED, deleted))


def test_new_file_counts_as_an_import_may_have_looked_for_it():
    assert sort_out([Difference(ADDED)], Use(read=frozenset())) == Found(changes=(ADDED,))


def test_file_of_a_name_that_an_import_looked_for_in_vain_counts():
    """It was gone for a moment, as it is while an editor renames."""
    module, package = Change("/src/pkg/a.py", Kind.MODIFIED), Change("/src/pkg/__init__.py", Kind.MODIFIED)
    for change, name in ((module, "a"), (module, "pkg.a"), (package, "pkg"), (package, "src.pkg")):
        assert sort_out([Difference(change)], Use(read=frozenset(), sought=frozenset({name}))).changes == (change,)
    for name in ("src", "other.a", "pkg.b"):
        assert sort_out([Difference(module)], Use(read=frozenset(), sought=frozenset({name}))).unused == (module,)
    found = Use(read=frozenset({"/other/a.py"}), sought=frozenset({"a"}))
    assert sort_out([Difference(module)], found).unused == (module,), "the import found another one"


def test_all_counts_where_others_than_the_target_use_files():
    differences = [Difference(MODIFIED), Difference(MODIFIED, loaded=False)]
    assert sort_out(differences, Use(read=frozenset(), every=True)).changes == (MODIFIED, MODIFIED)


def test_file_deleted_from_a_folder_that_was_listed_counts():
    deleted = Change("/src/b.py", Kind.DELETED)
    use = Use(read=frozenset({"/src"}))

    assert sort_out([Difference(deleted), Difference(MODIFIED)], use) == Found(changes=(deleted,), unused=(MODIFIED,))


def test_named_file_counts_whatever_was_read():
    assert sort_out([Difference(MODIFIED, named=True)], Use(read=frozenset())) == Found(changes=(MODIFIED,))


def test_compiled_code_that_was_loaded_counts_though_no_report_tells():
    assert sort_out([Difference(MODIFIED, loaded=True)], Use(read=frozenset())).changes == (MODIFIED,)
    assert sort_out([Difference(MODIFIED, loaded=True)], Use()).changes == (MODIFIED,)


def test_compiled_code_that_a_kernel_has_not_loaded_is_only_told_even_if_it_is_new():
    differences = [Difference(MODIFIED, loaded=False), Difference(ADDED, loaded=False)]

    assert sort_out(differences, Use()) == Found(unused=(MODIFIED, ADDED))


def test_compiled_code_that_a_script_may_have_looked_for_counts_as_a_source_does():
    use = Use(read=frozenset({"/src/a.py"}))
    differences = [Difference(MODIFIED, loaded=False), Difference(ADDED, loaded=False)]

    assert sort_out(differences, use).changes == (MODIFIED, ADDED)


def test_what_the_target_wrote_never_counts():
    use = Use(written=frozenset({"/src/a.py"}))

    assert sort_out([Difference(MODIFIED, BROKEN, named=True)], use) == Found(written=("/src/a.py",))


def test_what_lies_in_a_folder_that_the_target_has_renamed_never_counts():
    use = Use(written=frozenset({"/src", "/srcs"}))

    assert sort_out([Difference(MODIFIED), Difference(ADDED)], use).changes == ()
    assert sort_out([Difference(MODIFIED)], Use(written=frozenset({"/sr", "/src/a"}))).changes == (MODIFIED,)


def test_each_verdict_has_its_place():
    assert sort_out([Difference(MODIFIED, Likeness.SAME_CODE)], Use()) == Found(alike=("/src/a.py",))
    assert sort_out([Difference(MODIFIED, BROKEN)], Use()) == Found(broken=(BROKEN,))


def test_broken_file_that_was_not_used_is_only_told():
    assert sort_out([Difference(MODIFIED, BROKEN)], Use(read=frozenset())) == Found(unused=(MODIFIED,))


def test_only_what_counts_is_unfinished_and_what_does_not_is_told_when_it_is_finished():
    difference = Difference(MODIFIED, unfinished=Unfinished.EMPTIED)

    assert sort_out([difference], Use()).unfinished == {Unfinished.EMPTIED}
    assert sort_out([difference], Use(read=frozenset())) == Found()


def test_changes_are_as_old_as_the_latest_that_counts():
    old, new = Difference(MODIFIED, age=9.0), Difference(ADDED, age=0.5)
    told = Difference(Change("/src/c.py", Kind.MODIFIED), Likeness.SAME_CODE, age=0.1)
    assert sort_out([old, new, told], Use()).age == 0.5
    assert sort_out([old, told], Use()).age == 9.0
    assert sort_out([told], Use()).age == 0.0
