import ArgumentParser
import Glibc
import SquallNode

@main
enum Entry {
  static func main() async {
    let arguments = Array(CommandLine.arguments.dropFirst())
    switch arguments.first {
    case Program.workerArgument: exit(Program.worker())
    case Program.targetArgument: exit(Program.target())
    default: await run(arguments)
    }
  }

  private static func run(_ arguments: [String]) async {
    let spelling = LocustSpelling(arguments)
    for sentence in spelling.advice { Console.say("note: \(sentence)") }
    do {
      var command = try Squall.parseAsRoot(spelling.arguments)
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
    } catch {
      // ArgumentParser ends with sysexits' 64 on bad usage; the documented code is 2.
      guard Squall.exitCode(for: error) == .validationFailure else { Squall.exit(withError: error) }
      Console.say(Squall.fullMessage(for: error))
      exit(ExitStatus.usage.rawValue)
    }
  }
}
