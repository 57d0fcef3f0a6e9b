from tests.hub import Hub
def test_x(): assert Hub
