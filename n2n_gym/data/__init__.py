"""Image data sets with train, validation and test splits (section 4.1); plain numpy."""

from n2n_gym.data.added import add, added_names, remove
from n2n_gym.data.by_name import dataset_spec, is_folder, is_named, lasting_name, load_dataset
from n2n_gym.data.dataset import FINGERPRINT, Dataset, check_train_size
from n2n_gym.data.folder import SizesDifferError
from n2n_gym.data.known import DATASETS
from n2n_gym.data.npz import Images, Labels, Rows
from n2n_gym.data.settings import PLAIN, DataSettings
from n2n_gym.data.spec import OWN, DatasetSpec

__all__ = [
    "DATASETS",
    "FINGERPRINT",
    "OWN",
    "PLAIN",
    "DataSettings",
    "Dataset",
    "DatasetSpec",
    "Images",
    "Labels",
    "Rows",
    "SizesDifferError",
    "add",
    "added_names",
    "check_train_size",
    "dataset_spec",
    "is_folder",
    "is_named",
    "lasting_name",
    "load_dataset",
    "remove",
]
