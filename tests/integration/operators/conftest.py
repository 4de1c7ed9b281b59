"""The fixture of the operators' tests: the image, with pgweir, and with PgBouncer where there is one."""

import pytest

from imagetree import make_image, programs


@pytest.fixture(params=programs())
def image(request):
    made = make_image(request.param)
    yield made
    problems = made.close()
    assert not problems, problems
