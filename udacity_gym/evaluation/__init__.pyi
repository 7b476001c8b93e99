from . import (
    comparison_report as comparison_report,
    encoders as encoders,
    episode_log as episode_log,
    figures as figures,
    films as films,
    identity as identity,
    measures as measures,
    metrics as metrics,
    page as page,
    provenance as provenance,
    regression as regression,
    report as report,
    result as result,
    runner as runner,
    statistics as statistics,
    suite_result as suite_result,
    suite_runner as suite_runner,
    suites as suites,
    video as video,
)
from .comparison_report import (
    write_comparison as write_comparison,
)
from .metrics import (
    autonomy as autonomy,
)
from .provenance import (
    Provenance as Provenance,
)
from .regression import (
    Change as Change,
    changes_since as changes_since,
    changes_table as changes_table,
)
from .report import (
    write_report as write_report,
)
from .result import (
    Evaluation as Evaluation,
    Incident as Incident,
    Trajectory as Trajectory,
)
from .runner import (
    EvaluationStep as EvaluationStep,
    Trial as Trial,
    evaluate as evaluate,
    evaluate_many as evaluate_many,
)
from .statistics import (
    Estimate as Estimate,
    bootstrap_estimate as bootstrap_estimate,
    correlation as correlation,
    difference as difference,
    mean_estimate as mean_estimate,
    spearman as spearman,
    wilson_estimate as wilson_estimate,
)
from .suite_result import (
    Comparison as Comparison,
    SuiteResult as SuiteResult,
    compare as compare,
)
from .suite_runner import (
    ForEachTrack as ForEachTrack,
    run_suite as run_suite,
)
from .suites import (
    SUITES as SUITES,
    Scenario as Scenario,
    Suite as Suite,
    scenarios as scenarios,
)
from .video import (
    DriveVideo as DriveVideo,
)
