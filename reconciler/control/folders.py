"""Where things are kept below the data folder."""

from dataclasses import dataclass
from pathlib import Path

from reconciler.data_folder import OWN_LOG
from reconciler.model.names import EnvironmentId, ReleaseId, ServiceName


@dataclass(frozen=True, slots=True)
class Folders:
    data: Path
    run: Path

    @property
    def journal(self) -> Path:
        return self.data / "journal.db"

    @property
    def secrets_key(self) -> Path:
        return self.data / "secrets.key"

    @property
    def mirrors(self) -> Path:
        return self.data / "mirror"

    @property
    def hosted(self) -> Path:
        """The repository that is pushed to: the only copy there is."""
        return self.data / "git"

    @property
    def trusted(self) -> Path:
        """Up to which commit all signatures were good, for each repository and branch."""
        return self.data / "trusted"

    @property
    def releases(self) -> Path:
        return self.data / "releases"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def own_log(self) -> Path:
        return self.data / OWN_LOG

    def release(self, service: ServiceName, release: ReleaseId) -> Path:
        """Laid out as the repository is, so that watched folders are importable beside the service's own."""
        return self.releases / service / release

    def python(self, environment: EnvironmentId) -> Path:
        return self.data / "environments" / environment / "bin" / "python"

    def home(self, service: ServiceName) -> Path:
        return self.data / "homes" / service

    def log(self, service: ServiceName) -> Path:
        return self.logs / service
