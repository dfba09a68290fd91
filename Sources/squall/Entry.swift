import ArgumentParser
import Glibc
import SquallNode

@main
enum Entry {
  static func main() async {
    switch CommandLine.arguments.dropFirst().first {
    case Program.workerArgument: exit(Program.worker())
    default: await Squall.main()
    }
  }
}
