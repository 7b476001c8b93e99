from udacity_gym.text import count, table

ROWS = [("name", "", "what"), ("a", "12", "first"), ("longer", "3", "")]


def test_columns_of_a_table_are_aligned_without_spaces_at_the_ends_of_lines():
    assert table(ROWS).split("\n") == ["name        what", "a       12  first", "longer  3"]


def test_a_table_can_be_indented_and_its_first_row_underlined():
    assert table(ROWS, indent="> ", header=True).split("\n")[:2] == [
        "> name        what",
        "> ------  --  -----",
    ]


def test_a_number_and_its_noun_agree():
    assert [count(n, "lap") for n in (0, 1, 2)] == ["0 laps", "1 lap", "2 laps"]
    assert count(2, "entry", "entries") == "2 entries"
