"""P. Samangouei, M. Kabkab, R. Chellappa. Defense-GAN: Protecting Classifiers Against Adversarial Attacks Using
Generative Models. ICLR 2018.

A generator learns what clean training images look like, and the classifier answers for the generated image that
comes nearest to the one it is shown. What an attacker adds is left out, because no generated image has it.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from reproof.data.dataset import DataDescription, to_unit
from reproof.errors import TrainingError
from reproof.models.classifier import Classifier
from reproof.models.defense import Progress, Stock, Trainee
from reproof.models.purifier import Purified, PurifiedDefense
from reproof.settings.defense import PurifierSettings
from reproof.settings.values import Count, NonNegative, Positive, UnitInterval

KERNEL = 5
LATENTS_AT_ONCE = 8192
"""Latent vectors that are searched side by side: images times restarts."""


class Settings(PurifierSettings):
    """Settings of Defense-GAN; the defaults are those of the authors' public code for MNIST."""

    title: ClassVar[str] = "Defense-GAN"

    training: Literal["wgan_gp", "autoencoder"] = "wgan_gp"
    """How the generator learns. wgan_gp: as a Wasserstein GAN, as in the paper. autoencoder: as the decoder of an
    autoencoder with the critic's body for its encoder, which is not Defense-GAN, but much cheaper; claims
    know it as `[autoencoder]`."""
    latent: Count = 128
    """k: numbers in a latent vector z (public code: 128)."""
    width: Count = 64
    """Channels of the generator's last hidden map and of the critic's first, the others having 2 and 4 times as
    many (public code: 64); or units in each of the two hidden layers of fully connected networks."""
    layers: Literal["convolutional", "fully_connected"] = "convolutional"
    """Kind of the layers of generator and critic. convolutional: the public code's for MNIST.
    fully_connected: for images as small as the digits, where it takes a third of the time."""
    restarts: Count = 10
    """R: random starts of the search for z (public code: 10)."""
    steps: Count = 200
    """L: gradient steps from each start (public code: 200)."""
    step_size: Positive = 10.0
    """Rate of these steps, on the mean squared difference of pixels in [0, 1] (public code: 10)."""
    momentum: Annotated[UnitInterval, Field(lt=1)] = 0.7
    """Momentum of these steps (public code: 0.7)."""
    start_deviation: Positive | None = None
    """Standard deviation of each number of a start; None: 1/√k, as in the public code. The generator is trained on
    numbers of standard deviation 1."""
    gan_steps: Positive = 1.0
    """Steps of the generator for each batch of an epoch; it shares the batch size. The public code takes
    200,000 steps in all, of 50 images."""
    learning_rate: Positive = 1e-4
    """Rate of the Adam optimisers of generator and critic (Gulrajani 2017, Algorithm 1)."""
    betas: tuple[UnitInterval, UnitInterval] = (0.5, 0.9)
    """β1 and β2 of these optimisers (public code; Gulrajani 2017, Algorithm 1: 0 and 0.9)."""
    critic_steps: Count = 5
    """Steps of the critic before each of the generator (Gulrajani 2017, Algorithm 1). wgan_gp only."""
    penalty: NonNegative = 10.0
    """λ of the gradient penalty (Gulrajani 2017, Eq. 3). wgan_gp only."""

    def key(self, name: str) -> str:
        """Return the name, with `[autoencoder]` where the generator is no GAN's."""
        return name if self.training == "wgan_gp" else f"{name}[{self.training}]"

    def relative_cost(self) -> float:
        """Return a step's cost with the generator's share in it.

        Measured on one core, in batches of 64: convolutional at width 64 beside CNN-6, both of full width on
        28 x 28 pixels; fully connected of 128 units beside CNN-6 of width 1/4 on 16 x 16.
        """
        if self.layers == "convolutional":
            critic, generator, autoencoder = 1.8, 0.85, 1.0
        else:
            critic, generator, autoencoder = 0.21, 0.21, 0.26
        if self.training == "autoencoder":
            return 1 + self.gan_steps * autoencoder
        return 1 + self.gan_steps * (self.critic_steps * critic + generator)


def generator(data: DataDescription, settings: Settings) -> nn.Sequential:
    """Return a network from latent vectors (N, k) to images (N, C, H, W) in [0, 1].

    Convolutional: a linear layer, then three transposed convolutions of stride 2, whose maps are cut to a quarter,
    a half and the whole of the image's size, rounded up. Fully connected: three linear layers.
    """
    width, shape = settings.width, (data.channels, data.height, data.width)
    if settings.layers == "fully_connected":
        sizes = (settings.latent, width, width, math.prod(shape))
        return nn.Sequential(*_linear_layers(sizes, nn.ReLU()), nn.Unflatten(1, shape), nn.Sigmoid())
    first = (4 * width, _halved(data.height, 3), _halved(data.width, 3))
    parts: list[nn.Module] = [nn.Linear(settings.latent, math.prod(first)), nn.Unflatten(1, first)]
    channels = itertools.pairwise((4 * width, 2 * width, width, data.channels))
    for times, (before, after) in zip((2, 1, 0), channels, strict=True):
        grown = nn.ConvTranspose2d(before, after, KERNEL, stride=2, padding=KERNEL // 2, output_padding=1)
        parts += [nn.ReLU(), grown, Cut(_halved(data.height, times), _halved(data.width, times))]
    return nn.Sequential(*parts, nn.Sigmoid())


def critic(data: DataDescription, settings: Settings, outputs: int = 1) -> nn.Sequential:
    """Return a network from images (N, C, H, W) in [0, 1] to numbers (N, outputs).

    It judges images, one number each, or encodes them. Three convolutions of stride 2 and a linear layer, or three
    linear layers.
    """
    width = settings.width
    if settings.layers == "fully_connected":
        sizes = (data.channels * data.height * data.width, width, width, outputs)
        return nn.Sequential(nn.Flatten(), *_linear_layers(sizes, nn.LeakyReLU(0.2)))
    parts: list[nn.Module] = []
    for before, after in itertools.pairwise((data.channels, width, 2 * width, 4 * width)):
        parts += [nn.Conv2d(before, after, KERNEL, stride=2, padding=KERNEL // 2), nn.LeakyReLU(0.2)]
    area = _halved(data.height, 3) * _halved(data.width, 3)
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(4 * width * area, outputs))


class Cut(nn.Module):
    """Keeps the upper left corner of maps."""

    def __init__(self, height: int, width: int):
        super().__init__()
        self.height, self.width = height, width

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (N, C, height, width)."""
        return maps[:, :, : self.height, : self.width]


class DefenseGANClassifier(Purified):
    """A classifier that answers for the generator's nearest image, once the generator is trained.

    Before that it answers for the image itself: there is nothing to look for, and each look would take restarts
    times steps passes.
    """

    def __init__(self, classifier: Classifier, data: DataDescription, settings: Settings):
        super().__init__(classifier, data)
        self.settings = settings
        self.generator = generator(data, settings).requires_grad_(False)
        deviation = settings.latent**-0.5 if settings.start_deviation is None else settings.start_deviation
        self.starts: Tensor
        self.trained: Tensor
        self.register_buffer("starts", deviation * torch.randn(settings.restarts, settings.latent))
        self.register_buffer("trained", torch.zeros((), dtype=torch.bool))

    def purify(self, images: Tensor) -> Tensor:
        """Return G(z*) of each image; every image is searched for from the same starts, stored with the network."""
        if not bool(self.trained):
            return images
        with (
            torch.inference_mode(False),  # the search differentiates, whatever the caller does
            torch.enable_grad(),
            torch.autocast(images.device.type, enabled=False),
        ):
            at_once = max(1, LATENTS_AT_ONCE // len(self.starts))
            found = [
                project(
                    self.generator,
                    part,
                    self.starts,
                    steps=self.settings.steps,
                    step_size=self.settings.step_size,
                    momentum=self.settings.momentum,
                )
                for part in torch.split(images.clone().detach().to(self.starts.dtype), at_once)
            ]
            with torch.no_grad():
                return torch.cat([self.generator(latents) for latents in found]).to(images.dtype)


class DefenseGAN(PurifiedDefense[Settings]):
    """Cross-entropy for the classifier, and a Wasserstein GAN on the same images between its epochs."""

    deviations: ClassVar[tuple[str, ...]] = (
        "The best of a search's points is taken, over all steps and restarts; in the public code it is the best of "
        "the restarts' last points.",
        "All images are searched for from the same random starts, so that an answer depends on the image alone.",
        "The norm in the gradient penalty is that of a whole image's gradient (Gulrajani 2017, Eq. 3); the public "
        "code's is that of each column of it.",
        "The classifier is trained on the images themselves, not on the generator's.",
        "The generator is trained beside the classifier, between its epochs, with as many images in a batch.",
    )

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self._optimisers: dict[str, torch.optim.Adam] = {}
        self._moments: dict[str, Tensor] = {}

    def build(self, classifier: Classifier, data: DataDescription) -> Trainee:
        """Return the classifier behind a generator; the critic, or the encoder, stands beside them."""
        outputs = 1 if self.settings.training == "wgan_gp" else self.settings.latent
        purified = DefenseGANClassifier(classifier, data, self.settings)
        return Trainee(purified, critic(data, self.settings, outputs).requires_grad_(False))

    def begin_epoch(self, trainee: Trainee, stock: Stock, progress: Progress) -> None:
        """Train the generator and its critic or encoder for an epoch's steps; TrainingError where they diverge.

        Neither learns anything from the classifier, nor the classifier from them.
        """
        generator, critic = _purified_of(trainee).generator, trainee.auxiliary
        if progress.epoch == 0:
            self._optimisers, self._moments = {}, {}
        if not self._optimisers:
            self._optimisers = {
                name: self._optimiser(name, module)
                for name, module in (("generator", generator), ("critic", critic))
            }
            self._moments = {}
        images = stock.train[0]
        steps = round(self.settings.gan_steps * math.ceil(len(images) / stock.batch_size))
        for _ in range(steps):
            if self.settings.training == "wgan_gp":
                self._play(generator, critic, images, stock.batch_size)
            else:
                self._reconstruct(generator, critic, images, stock.batch_size)
        if not all(bool(p.isfinite().all()) for module in (generator, critic) for p in module.parameters()):
            raise TrainingError(
                f"defense_gan: the generator's weights are no longer finite at epoch {progress.epoch + 1}; lower "
                f"learning_rate (now {self.settings.learning_rate:g})"
            )

    def finish(self, trainee: Trainee, stock: Stock, progress: Progress) -> None:
        """Answer for generated images from now on."""
        _purified_of(trainee).trained.fill_(True)

    def state(self) -> dict[str, Tensor]:
        """Return the moments of both optimisers."""
        return {
            f"{name}.{index}.{key}": value
            for name, optimiser in self._optimisers.items()
            for index, values in optimiser.state_dict()["state"].items()
            for key, value in values.items()
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` returned."""
        self._optimisers, self._moments = {}, dict(state)

    def _optimiser(self, name: str, module: nn.Module) -> torch.optim.Adam:
        """Return an optimiser with the moments that were restored, if there are any."""
        parameters = list(module.parameters())
        optimiser = torch.optim.Adam(parameters, lr=self.settings.learning_rate, betas=self.settings.betas)
        for held, value in self._moments.items():
            owner, index, key = held.split(".")
            if owner == name:
                parameter = parameters[int(index)]
                kept = value if key == "step" else torch.empty_like(parameter).copy_(value)
                optimiser.state[parameter][key] = kept.clone()
        return optimiser

    def _play(self, generator: nn.Module, critic: nn.Module, images: Tensor, count: int) -> None:
        """Take the critic's steps, and then one of the generator's (Gulrajani 2017, Algorithm 1)."""
        for _ in range(self.settings.critic_steps):
            real = _drawn(images, count)
            with torch.no_grad():
                fake = generator(self._latents(real))
            with learning(critic):
                judged_real, judged_fake = critic(torch.cat([real, fake])).chunk(2)
                loss = critic_loss(judged_real, judged_fake)
                if self.settings.penalty:
                    mix = torch.rand(count, device=real.device)
                    loss = loss + self.settings.penalty * gradient_penalty(critic, real, fake, mix)
                torch.autograd.backward(loss)
                self._optimisers["critic"].step()
        with learning(generator):
            loss = generator_loss(critic(generator(self._latents(real))))
            torch.autograd.backward(loss)
            self._optimisers["generator"].step()

    def _latents(self, images: Tensor) -> Tensor:
        return torch.randn(len(images), self.settings.latent, device=images.device)

    def _reconstruct(self, generator: nn.Module, encoder: nn.Module, images: Tensor, count: int) -> None:
        """Take a step of both towards the images, whose codes are given mean 0 and deviation 1."""
        real = _drawn(images, count)
        with learning(generator), learning(encoder):
            loss = nn.functional.mse_loss(generator(standardise(encoder(real))), real)
            torch.autograd.backward(loss)
            for optimiser in self._optimisers.values():
                optimiser.step()


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return what the critic descends, without its penalty: it judges real images high and generated ones low.

    real, fake: the critic's outputs (N, 1) (Gulrajani 2017, Eq. 3).
    """
    return fake.mean() - real.mean()


def generator_loss(fake: Tensor) -> Tensor:
    """Return what the generator descends: its images shall be judged high. fake: the critic's outputs (N, 1)."""
    return -fake.mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """Return the mean of (‖∇critic‖ - 1)² at images between real and generated ones (Gulrajani 2017, Eq. 3).

    mix: (N,) in [0, 1], each image's share of its generated partner. Differentiable in the critic's weights.
    """
    between = real + mix.view(-1, 1, 1, 1) * (fake - real)
    between = between.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty: Tensor = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty


def project(
    generate: Callable[[Tensor], Tensor],
    images: Tensor,
    starts: Tensor,
    *,
    steps: int,
    step_size: float,
    momentum: float,
) -> Tensor:
    """Return the latent vectors (N, k) whose generated images come nearest to `images`.

    starts: (R, k), where the search for every image begins. Each search descends the mean squared difference of
    pixels by `steps` steps with momentum; the best of all its points is kept, and of an image the best search.
    Gradients must be enabled; images and starts stay as they are.
    """
    count, restarts = len(images), len(starts)
    latents = starts.detach().repeat(count, 1)
    velocity = torch.zeros_like(latents)
    nearest = latents
    least = torch.full((count * restarts,), math.inf, dtype=latents.dtype, device=latents.device)
    for step in range(steps + 1):
        latents = latents.detach().requires_grad_(step < steps)
        generated = generate(latents)
        difference = generated.view(count, restarts, *images.shape[1:]) - images.unsqueeze(1)
        errors = difference.square().flatten(2).mean(dim=2).flatten()
        better = errors.detach() < least
        least = torch.where(better, errors.detach(), least)
        nearest = torch.where(better.unsqueeze(1), latents.detach(), nearest)
        if step < steps:
            (gradient,) = torch.autograd.grad(errors.sum(), latents)
            velocity = momentum * velocity + gradient
            latents = latents.detach() - step_size * velocity
    best = least.view(count, restarts).argmin(dim=1)
    return nearest.view(count, restarts, -1)[torch.arange(count, device=best.device), best]


def standardise(codes: Tensor) -> Tensor:
    """Return codes (N, k) with mean 0 and standard deviation 1 over the batch, in each column."""
    deviation = codes.var(dim=0, correction=0).add(1e-5).sqrt()
    return (codes - codes.mean(dim=0)) / deviation


@contextlib.contextmanager
def learning(module: nn.Module) -> Iterator[None]:
    """Let gradients reach the module's parameters inside this context, and leave none of them behind."""
    module.requires_grad_(True)
    try:
        yield
    finally:
        module.requires_grad_(False)
        for parameter in module.parameters():
            parameter.grad = None


def _drawn(images: Tensor, count: int) -> Tensor:
    """Return `count` of the uint8 images, drawn with replacement from torch's global generator, in [0, 1]."""
    return to_unit(images[torch.randint(len(images), (count,), device=images.device)])


def _linear_layers(sizes: Sequence[int], between: nn.Module) -> list[nn.Module]:
    """Return linear layers of these sizes, with a non-linearity after each but the last."""
    layers = [part for pair in itertools.pairwise(sizes) for part in (nn.Linear(*pair), between)]
    return layers[:-1]


def _halved(size: int, times: int) -> int:
    return math.ceil(size / (1 << times))


def _purified_of(trainee: Trainee) -> DefenseGANClassifier:
    if not isinstance(trainee.classifier, DefenseGANClassifier):
        raise TypeError("the trainee was not built by defense_gan")
    return trainee.classifier
