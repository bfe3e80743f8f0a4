"""Image data sets with train, validation and test splits (section 4.1); plain numpy."""

from n2n_gym.data.by_name import DATASETS, dataset_spec, load_dataset
from n2n_gym.data.dataset import Dataset, check_train_size
from n2n_gym.data.npz import Images, Labels
from n2n_gym.data.spec import DatasetSpec

__all__ = ["DATASETS", "Dataset", "DatasetSpec", "Images", "Labels", "check_train_size", "dataset_spec", "load_dataset"]
