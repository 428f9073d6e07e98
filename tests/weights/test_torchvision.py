import numpy as np
import pytest

from tests.models import reference
from twohand_jax.errors import InputError
from twohand_jax.models.resnet import RESNET18, RESNET50
from twohand_jax.weights import torchvision


@pytest.fixture(scope="module")
def state():
    module = reference.ResNet(RESNET18.depths, False)
    return reference.state(reference.randomised(module))


def test_every_weight_lands_under_its_own_name(state):
    params, stats = torchvision.convert_resnet(state, RESNET18, where="memory")
    block = params["stages"]["blocks"]["5"]  # the second of the third stage
    ours = block["convs"]["1"]["kernel"]
    np.testing.assert_array_equal(
        ours.transpose(3, 2, 0, 1), state["layer3.1.conv2.weight"]
    )
    projected = stats["stages"]["blocks"]["4"]["project_norm"]["var"]
    np.testing.assert_array_equal(projected, state["layer3.0.downsample.1.running_var"])


def test_weights_of_another_depth_are_refused(state):
    with pytest.raises(InputError, match="net.pth belongs to another network: it la"):
        torchvision.convert_resnet(state, RESNET50, where="net.pth")


def test_another_width_is_refused():
    state = reference.state(reference.ResNet(RESNET18.depths, False, width=8))
    with pytest.raises(InputError, match=r"another network: '.*' has shape \(8,"):
        torchvision.convert_resnet(state, RESNET18, where="net.pth")
