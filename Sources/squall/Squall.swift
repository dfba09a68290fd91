import ArgumentParser
import SquallNode

struct Squall: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "squall",
    abstract:
      "Measures HTTP servers: one pinned worker process per CPU, every request accounted for.",
    discussion: """
      squall URL is squall run URL. Without a URL the built-in target is started and driven.

      Exit codes: 0 good, 1 could not run, or no ok answer, 2 usage or version refused, 3 SLO failed, \
      4 regression, 5 measurement invalid (--strict), 6 incomplete, 130/143 interrupted, with the \
      partial report.
      """,
    version: Build.description,
    subcommands: [
      Run.self, Check.self, Serve.self, Find.self, Compare.self, Report.self, Doctor.self,
      Master.self,
      WorkerCommand.self, FleetCommand.self,
    ],
    defaultSubcommand: Run.self)
}
