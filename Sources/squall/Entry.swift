import ArgumentParser
import Dispatch
import Glibc
import SquallNode

@main
enum Entry {
  static func main() {
    let arguments = Array(CommandLine.arguments.dropFirst())
    switch arguments.first {
    case Program.workerArgument: exit(Program.worker())
    case Program.targetArgument: exit(Program.target())
    default:
      Program.demandDescriptors()
      Task { @MainActor in
        await run(arguments)
        exit(ExitStatus.good.rawValue)
      }
      dispatchMain()
    }
  }

  private static func run(_ arguments: [String]) async {
    let spelling = LocustSpelling(arguments)
    for sentence in spelling.advice { Console.say("note: \(sentence)") }
    if let complaint = Habits.complaint(about: spelling.arguments) {
      Console.say("error: \(complaint)")
      exit(ExitStatus.usage.rawValue)
    }
    do {
      var command = try Squall.parseAsRoot(spelling.arguments)
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
    } catch {
      // ArgumentParser ends with sysexits' 64 on bad usage; the documented code is 2.
      let code = Squall.exitCode(for: error)
      if code == .success { show(Squall.fullMessage(for: error)) }
      guard code == .validationFailure else { Squall.exit(withError: error) }
      Console.say(message(for: error))
      exit(ExitStatus.usage.rawValue)
    }
  }

  /// What somebody asked the parser to print, such as the help.
  private static func show(_ text: String) -> Never {
    do throws(Complaint) {
      try Console.print(text + "\n")
      exit(ExitStatus.good.rawValue)
    } catch {
      Console.say("error: \(error.sentence)")
      exit(error.exitCode.rawValue)
    }
  }

  /// The parser's words, but for options of other tools, and without guesses by spelling that make no
  /// sense: a suggestion begins as what was typed, or it is none.
  private static func message(for error: any Error) -> String {
    let full = Squall.fullMessage(for: error)
    guard let mark = full.firstRange(of: "Unknown option '") else { return full }
    let option = String(full[mark.upperBound...].prefix { $0 != "'" })
    if let sentence = Habits.sentence(for: option) { return "error: \(option): \(sentence)." }
    guard let guess = full.firstRange(of: ". Did you mean '") else { return full }
    let guessed = full[guess.upperBound...].prefix { $0 != "'" }
    guard guessed.prefix(4) == option.prefix(4) || guessed.suffix(5) == option.suffix(5) else {
      let end = full[guess.upperBound...].firstIndex(of: "\n") ?? full.endIndex
      return full[..<guess.lowerBound] + ".\n" + full[end...].drop { $0 == "\n" }
    }
    return full
  }
}
