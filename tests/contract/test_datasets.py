"""What every data set promises; a new file is covered as soon as a way to read it without a network is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reproof import registry
from reproof.data import Dataset
from reproof.settings import DatasetSettings
