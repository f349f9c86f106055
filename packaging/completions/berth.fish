# fish completion for berth; berth itself knows what may come next.

function __berth_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] __complete $words[2..-1] $current 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path (string replace -r -- '^--[^=]*=' '' $current)
            case :directories
                __fish_complete_directories (string replace -r -- '^--[^=]*=' '' $current)
            case :commands
                __fish_complete_command
                __fish_complete_path $current
            case '*'
                echo $line
        end
    end
end

complete -c berth -f -a '(__berth_complete)'
