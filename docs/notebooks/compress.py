# %% [markdown]
# # Compress your network
#
# Your code, your training, your images. Here a small network on the handwritten digits that come with the package, so that all
# of it takes under a minute; with your own, leave out the options that make it short.
# %%
import torch
from torch import nn
from torch.nn import functional

from n2n_gym.data import load_dataset


class MyNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(24, 48, 3, padding=1, bias=False), nn.BatchNorm2d(48), nn.ReLU(), nn.MaxPool2d(2))
        self.head = nn.Linear(48 * 16, 10)

    def forward(self, images):
        return self.head(self.body(self.stem(images)).flatten(1))


torch.manual_seed(0)
network = MyNet()
images, labels = load_dataset("digits").train
images, labels = torch.tensor(images).permute(0, 3, 1, 2) / 255, torch.tensor(labels)
optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
for _ in range(4):
    for chosen in torch.randperm(len(images)).split(64):
        loss = functional.cross_entropy(network((images[chosen] - 0.3) / 0.4), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
print(f"{sum(p.numel() for p in network.parameters()):,} parameters, loss {loss:.3f}")
# %% [markdown]
# ## It becomes a teacher
#
# Traced, rebuilt and compared: it keeps its weights, its normalisation, and the names of its layers.
# %%
import n2n_gym.teachers
from n2n_gym.teachers.saved import teacher_facts

name = n2n_gym.teachers.add(network.eval(), name="my-net", dataset="digits", mean=(0.3,), std=(0.4,))
print(name, f"{teacher_facts(name)['test_accuracy']:.1%} of the test images")
# %% [markdown]
# ## The search
#
# Six policy updates a stage instead of a hundred, short final trainings.
# %%
from agents import compress

result = compress(
    teacher=name,
    dataset="digits",
    iterations=6,
    finalists=2,
    final_trainings=2,
    final_epochs=6,
    workers=0,
    speed=False,
    out="runs/mine",
)
student = result["student"]
print(f"{student['ratio']:.1f} times smaller, {student['test_accuracies']['mean']:.1%} of the test images (two trainings)")
print(result["verdict"])
# %% [markdown]
# ## Use it
#
# The student with its preprocessing, as a torch module; and as plain PyTorch that runs where this package is not.
# %%
from agents import export, load_student, write_report

model = load_student("runs/mine")
test_images, test_labels = load_dataset("digits").test
predicted = model(torch.tensor(test_images).permute(0, 3, 1, 2)).argmax(1)
print(f"{(predicted == torch.tensor(test_labels)).float().mean():.1%}")
print([path.name for path in export("runs/mine", "python")])
# %% [markdown]
# `report.html` has every student that was tried, the layers side by side under your names, intervals and luck.
# `n2n compress` writes it by itself; in Python:
# %%
from pathlib import Path

print(write_report([Path("runs/mine")]))
